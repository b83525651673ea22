#include <array>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "mica/base/error.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/find.h"
#include "mica/kernels/cuda/runtime.h"

namespace mica::cuda {

void CudaDevice::enter() {
  set_device(index);
  if (stream != nullptr) return;
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  if (stream != nullptr) return;
  if (fault == nullptr) fault = ::new (shared_allocate(sizeof(Fault))) Fault;
  stream = make_stream();
}

void check_fault(Fault* fault) {
  const Fault found = std::exchange(*fault, {});
  switch (found.kind) {
    case FaultKind::none:
      return;
    case FaultKind::embedding_index:
      throw Error(
          "index " + std::to_string(found.value) + " is outside the table of " + std::to_string(found.limit) + " rows",
          "embedding", "use ids that the model's vocabulary has");
    case FaultKind::label:
      throw Error(
          "label " + std::to_string(found.value) + " is outside the " + std::to_string(found.limit) + " classes",
          "cross_entropy", "use labels from 0 on, or the ignored one to leave a row out");
    case FaultKind::division_by_zero:
      throw Error("integer division by zero", "elementwise.binary", "divide by something else");
  }
}

void CudaQueue::synchronize() {
  cuda::synchronize(stream_);
  check_fault(fault_);
}

// Work that still uses the old scratch is ahead of any that will use its memory for something else.
void* CudaQueue::workspace(int64_t bytes) {
  Scratch& scratch = memory_.pools() ? recorded_ : scratch_;
  if (bytes > scratch.bytes) {
    const Scratch old = std::exchange(scratch, {});
    if (old.data != nullptr) memory_.free(old.data, old.bytes);
    scratch.data = memory_.allocate(bytes);
    scratch.bytes = bytes;
  }
  return scratch.data;
}

void CudaQueue::end_pool() {
  const Scratch old = std::exchange(recorded_, {});
  if (old.data != nullptr) memory_.free(old.data, old.bytes);
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
