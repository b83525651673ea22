#include "mica/kernels/upload.h"

namespace mica {

std::atomic<int64_t> unsettled_uploads{0};

void settle_upload(Device device, const void* block) {
  if (device.is_cpu() || block == nullptr) return;
  if (auto* memory = dynamic_cast<UploadingMemory*>(&backend(device).memory())) memory->settle(block);
}

}  // namespace mica
