#pragma once
// Weights on their way to a device: see uploads.cu.

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <unordered_map>

#include "mica/kernels/cuda/event.h"
#include "mica/kernels/upload.h"

namespace mica::cuda {

class CudaUploads {
 public:
  /// `stream`: the device's own.
  CudaUploads(int index, const Stream& stream) : index_(index), stream_(stream) {}

  void start(Upload what);
  void settle(const void* block);
  /// Of all blocks: the host waits until every copy is on its way.
  void settle_all();
  /// The block is about to be freed: what comes on the device's stream may use its memory.
  void forget(const void* block) noexcept;

 private:
  static constexpr int64_t kSlotBytes = int64_t{2} << 20;
  static constexpr uint64_t kSlots = 8;

  /// Pinned memory that pieces pass through in turn.
  struct Slot {
    std::byte* memory = nullptr;
    Event landed = nullptr;
    uint64_t piece = 0;  // the last that passed through
  };
  /// Pieces are numbered from 1 on, through all uploads; an upload goes by the number of its last.
  struct Job {
    uint64_t first = 0, last = 0;
    Upload what;
  };

  void begin();
  void work();
  void copy(const Job& job);
  void pass_over_landed();
  void order_after_all() noexcept;
  void erase_until(uint64_t number);

  int index_;
  const Stream& stream_;
  Stream side_ = nullptr;
  Event free_to_write_ = nullptr;
  std::array<Slot, kSlots> slots_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool begun_ = false, working_ = false;
  std::deque<Job> waiting_;
  uint64_t pieces_ = 0, sent_ = 0;                     // numbers that were given out; that the thread is done with
  int64_t held_ = 0;                                   // bytes that wait in memory
  std::map<uint64_t, const void*> unsettled_;          // by the upload's number
  std::unordered_map<const void*, uint64_t> numbers_;  // of unsettled blocks
  std::unordered_map<const void*, std::exception_ptr> lost_;
};

}  // namespace mica::cuda
