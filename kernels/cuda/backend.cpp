#include "mica/kernels/cuda/backend.h"

#include <array>
#include <mutex>

#include "mica/kernels/cuda/runtime.h"

namespace mica::cuda {

void CudaDevice::enter() {
  set_device(index);
  if (stream != nullptr) return;
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  if (stream == nullptr) stream = make_stream();
}

void CudaQueue::synchronize() {
  cuda::synchronize(stream_);
}

// Work that still uses the old scratch is ahead of any that will use its memory for something else.
void* CudaQueue::workspace(int64_t bytes) {
  if (bytes > scratch_bytes_) {
    if (scratch_ != nullptr) memory_.free(scratch_, scratch_bytes_);
    scratch_ = nullptr;
    scratch_bytes_ = 0;
    scratch_ = memory_.allocate(bytes);
    scratch_bytes_ = bytes;
  }
  return scratch_;
}

Backend* cuda_backend(int index) {
  constexpr int kMost = 64;
  static std::mutex mutex;
  static std::array<CudaBackend*, kMost> made{};
  if (index < 0 || index >= kMost || index >= device_count()) return nullptr;
  const std::scoped_lock lock(mutex);
  CudaBackend*& backend = made.at(static_cast<size_t>(index));
  // Never destroyed: tensors in static storage are freed after every destructor here would have run.
  if (backend == nullptr) backend = new CudaBackend(index);  // NOLINT(cppcoreguidelines-owning-memory)
  return backend;
}

}  // namespace mica::cuda
