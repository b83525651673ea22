#pragma once
// Copies from global to shared memory in the background (cp.async, sm_80): the bytes pass no register, and the thread
// goes on meanwhile. A thread commits its copies in groups and waits until at most so many groups are still under way;
// what other threads copied is there after they waited, too, and a barrier.

#include "mica/kernels/cuda/device/thread.h"

namespace mica::cuda {

#ifdef MICA_EMULATED

/// 16 bytes, both addresses 16-byte aligned; with `valid` false nothing is read and zeros are written.
inline void copy_async_16(void* shared, const void* global, bool valid = true, Line line = Line::here()) {
  emulate::check_shared(shared, 16, 16, "copy_async_16", line);
  if (valid) emulate::check_global(global, 16, 16, "copy_async_16", line);
  emulate::copy_later(shared, global, valid ? 16 : 0, 16);
}
/// 4 bytes, 4-byte aligned.
inline void copy_async_4(void* shared, const void* global, bool valid = true, Line line = Line::here()) {
  emulate::check_shared(shared, 4, 4, "copy_async_4", line);
  if (valid) emulate::check_global(global, 4, 4, "copy_async_4", line);
  emulate::copy_later(shared, global, valid ? 4 : 0, 4);
}
/// 16 bytes, of which the first `bytes` (0 to 16) are read and the others zeros. Both addresses 16-byte aligned.
inline void copy_async_up_to_16(void* shared, const void* global, int bytes, Line line = Line::here()) {
  emulate::check_shared(shared, 16, 16, "copy_async_up_to_16", line);
  if (bytes < 0 || bytes > 16) emulate::fault("copy_async_up_to_16: 0 to 16 bytes", line);
  if (bytes > 0) emulate::check_global(global, bytes, 16, "copy_async_up_to_16", line);
  emulate::copy_later(shared, global, bytes, 16);
}
inline void commit_copies() {
  emulate::commit_copies();
}
template <int kGroupsLeft>
void wait_copies() {
  emulate::wait_copies(kGroupsLeft);
}

#else

__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool valid = true) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void copy_async_4(void* shared, const void* global, bool valid = true) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(global), "r"(valid ? 4 : 0) : "memory");
}
__device__ __forceinline__ void copy_async_up_to_16(void* shared, const void* global, int bytes) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes) : "memory");
}
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kGroupsLeft>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
}

#endif

}  // namespace mica::cuda
