// The device's memory: see CudaMemory. cudaMalloc waits for the device and takes a millisecond; a step of training asks
// for thousands of blocks.

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/out_of_memory.h"

namespace mica::cuda {
namespace {

constexpr int64_t kAlignment = 256;
constexpr int64_t kLargest = int64_t{1} << 45;  // far from overflow

#ifdef MICA_EMULATED
constexpr bool kCaching = false;  // each block's bounds and end of life are checked
#else
constexpr bool kCaching = true;
#endif

int64_t class_of(int64_t bytes) {
  if (!kCaching) return std::max<int64_t>(bytes, 1);
  const auto power = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(bytes, 1))));
  const int64_t multiple = std::max(kAlignment, power / 8);
  return (std::max<int64_t>(bytes, 1) + multiple - 1) / multiple * multiple;
}

std::string megabytes(int64_t bytes) {
  return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB";
}

}  // namespace

void CudaMemory::refuse(int64_t bytes, int64_t free_bytes) const {
  throw OutOfMemory("no memory on the device for " + megabytes(bytes),
                    "cuda:" + std::to_string(index_) + ", " + megabytes(free_bytes) + " free, " + megabytes(used_) +
                        " in use by this program",
                    "use a smaller batch, shorter texts, bfloat16 weights or gradient checkpointing, or end other "
                    "programs on the device");
}

void* CudaMemory::allocate(int64_t bytes) {
  if (bytes < 0 || bytes > kLargest) refuse(bytes, device_free_bytes());
  const int64_t size = class_of(bytes);
  const std::scoped_lock lock(mutex_);
  if (pool_ != nullptr) {
    void* data = allocate_pooled(size, false);
    if (data == nullptr) refuse(bytes, device_free_bytes());
    return data;
  }
  const auto found = free_.find(size);
  if (found != free_.end() && !found->second.empty()) {
    void* data = found->second.back();
    found->second.pop_back();
    cached_ -= size;
    used_ += size;
    return data;
  }
  void* data = device_allocate(size);
  if (data == nullptr && cached_ > 0) {
    release_cached();
    data = device_allocate(size);
  }
  if (data == nullptr) refuse(bytes, device_free_bytes());
  used_ += size;
  return data;
}

// Nothing is given back to the device meanwhile: that waits for work, which a recording may not.
void* CudaMemory::allocate_pooled(int64_t size, bool fresh) {
  std::vector<void*>& waiting = pool_->free[size];
  if (!fresh && !waiting.empty()) {
    void* data = waiting.back();
    waiting.pop_back();
    return data;
  }
  waiting.reserve(pool_->all.size() + 1);  // so that free() needs no memory
  void* data = device_allocate(size);
  if (data == nullptr) return nullptr;
  pool_->all.emplace(data, size);
  pooled_.emplace(data, pool_);
  used_ += size;
  return data;
}

// A block that nobody uses any more.
void CudaMemory::keep(void* data, int64_t size) noexcept {
  used_ -= size;
  if (!kCaching) {
    device_free(data);
    return;
  }
  try {
    free_[size].push_back(data);
    cached_ += size;
  } catch (const std::bad_alloc&) {
    device_free(data);
  }
}

void CudaMemory::free(void* data, int64_t bytes) noexcept {
  if (data == nullptr) return;
  if (unsettled_uploads != 0) uploads_.forget(data);
  const std::scoped_lock lock(mutex_);
  if (const auto pooled = pooled_.find(data); pooled != pooled_.end()) {
    pooled->second->free[class_of(bytes)].push_back(data);  // there is room: see allocate_pooled()
    return;
  }
  keep(data, class_of(bytes));
}

void CudaMemory::begin_pool(MemoryPool& pool) {
  const std::scoped_lock lock(mutex_);
  pool_ = &pool;
}

void CudaMemory::end_pool() {
  const std::scoped_lock lock(mutex_);
  pool_ = nullptr;
}

void CudaMemory::release_pool(MemoryPool& pool) noexcept {
  const std::scoped_lock lock(mutex_);
  for (const auto& [size, blocks] : pool.free) {
    for (void* data : blocks) {
      pool.all.erase(data);
      pooled_.erase(data);
      keep(data, size);
    }
  }
  for (const auto& [data, size] : pool.all) pooled_.erase(data);
  pool = {};
}

void CudaMemory::copy_from_host(void* device_data, const void* host_data, int64_t bytes) {
  if (bytes <= 0) return;
  if (pool_ != nullptr && pool_->keeps_uploads) return keep_upload(device_data, host_data, bytes);
  cuda::copy_from_host(device_data, host_data, bytes, stream_);
}

// The block that keeps the bytes is not freed before the recording is, and no work before this point has written to it:
// that work is repeated too.
void CudaMemory::keep_upload(void* device_data, const void* host_data, int64_t bytes) {
  const auto* first = static_cast<const std::byte*>(host_data);
  MemoryPool::Upload& kept = pool_->uploads.emplace_back();
  kept.bytes.assign(first, first + bytes);
  {
    const std::scoped_lock lock(mutex_);
    kept.data = allocate_pooled(class_of(bytes), true);
    if (kept.data == nullptr) refuse(bytes, device_free_bytes());
  }
  copy(device_data, kept.data, bytes);
}

void CudaMemory::upload(Upload what) {
  if (what.bytes <= 0) return;
  if (pool_ != nullptr) return copy_from_host(what.to, what.from, what.bytes);
  uploads_.start(std::move(what));
}

void CudaMemory::copy_to_host(void* host_data, const void* device_data, int64_t bytes) {
  if (bytes > 0) cuda::copy_to_host(host_data, device_data, bytes, stream_);
  check_fault(fault_);
}

void CudaMemory::copy(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) copy_on_device(to, from, bytes, stream_);
}

void CudaMemory::trim() {
  const std::scoped_lock lock(mutex_);
  release_cached();
}

void CudaMemory::release_cached() {
  if (stream_ != nullptr) cuda::synchronize(stream_);
  for (auto& [size, blocks] : free_) {
    for (void* data : blocks) device_free(data);
    cached_ -= size * static_cast<int64_t>(blocks.size());
    blocks.clear();
  }
}

int64_t CudaMemory::used() const {
  const std::scoped_lock lock(mutex_);
  return used_;
}

int64_t CudaMemory::cached() const {
  const std::scoped_lock lock(mutex_);
  return cached_;
}

}  // namespace mica::cuda
