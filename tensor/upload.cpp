#include "mica/tensor/upload.h"

#include "mica/kernels/upload.h"

namespace mica {

Tensor upload(const Tensor& host, Device device) {
  const int64_t bytes = host.numel() * item_size(host.dtype());
  if (device.is_cpu() || !host.device().is_cpu() || bytes == 0) return host.to(device);
  auto* const memory = dynamic_cast<UploadingMemory*>(&backend(device).memory());
  if (memory == nullptr) return host.to(device);
  const Tensor rows = host.contiguous();
  Tensor result = Tensor::empty(rows.shape(), rows.dtype(), device);
  memory->upload({result.storage()->data(), rows.raw_data(), bytes, rows.storage(), rows.storage()->borrowed()});
  return result;
}

}  // namespace mica
