#pragma once
// Copies of weights to a device that go on beside the work on its queue, so that the first layers run while the last
// ones are still on their way.

#include <atomic>
#include <cstdint>
#include <memory>

#include "mica/kernels/backend.h"

namespace mica {

/// What goes to a device, and who keeps the host's bytes: they stay as they are until `source` is let go.
struct Upload {
  void* to = nullptr;  ///< the start of a block that was allocated, and that nobody has used yet
  const void* from = nullptr;
  int64_t bytes = 0;
  std::shared_ptr<const void> source;
  bool mapped = false;  ///< in a file: waiting for its turn takes no memory
};

/// The memory of a device that has such copies.
class UploadingMemory : public Memory {
 public:
  /// Begins an upload; uploads arrive in the order of calls. Waits only where too much that is not mapped waits
  /// already.
  virtual void upload(Upload what) = 0;
  /// Puts work that comes later on the queue behind the upload to this block, if there is one. The host waits until the
  /// copy is on its way, not for its end. Throws the Error of an upload that failed, at each call.
  virtual void settle(const void* block) = 0;
};

/// Blocks of all devices whose upload nobody has asked for. Where it is 0, settle() has nothing to do.
extern std::atomic<int64_t> unsettled_uploads;

/// settle() on whatever device; nothing on those that upload at once. Whoever lets the address of a block out calls it
/// before (Tensor::view does).
void settle_upload(Device device, const void* block);

}  // namespace mica
