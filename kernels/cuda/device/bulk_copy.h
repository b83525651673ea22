#pragma once
// Boxes of a tensor copied to shared memory by the copying unit (cp.async.bulk.tensor, sm_90): one thread asks, no
// register is passed, and a barrier object hears of the bytes. Where the tensor lies, its sizes and the box's are in a
// tensor map that the host makes (tensor_map.h); a kernel takes it in its arguments, marked MICA_GRID_CONSTANT.
//
// The box lies in shared memory row by row. With the 128-byte swizzle a row has 128 bytes and its pieces of 16 bytes
// change places: piece p of row r lies where piece p ^ (r % 8) would (for addresses: bits 4 to 6 ^= bits 7 to 9), so
// that eight rows of one piece lie in different banks. What lies outside the tensor is zeros, and counts as copied.

#include <cstdint>

#include "mica/kernels/cuda/device/barrier_object.h"

#ifdef MICA_EMULATED
#include "mica/kernels/cuda/emulate/bulk_copy.h"
#define MICA_GRID_CONSTANT
#else
#define MICA_GRID_CONSTANT __grid_constant__
#endif

namespace mica::cuda {

/// As the driver encodes it (CUtensorMap); emulation keeps its own words there.
struct alignas(128) TensorMap {
  uint64_t words[16] = {};
};

#ifdef MICA_EMULATED

namespace detail {
template <int kRank>
void copy_box(void* to, const TensorMap& map, BarrierObject& barrier, const int (&at)[kRank], Line line) {
  barrier.check(line);
  emulate::copy_box(
      to, map.words, at, kRank, [&barrier](unsigned bytes) { barrier.complete(bytes); }, line);
}
}  // namespace detail

/// The box whose first element has these coordinates, fastest first; they may lie outside. `to` is 128-byte aligned,
/// and 1024 for the descriptors of matrix products.
inline void copy_box(void* to, const TensorMap& map, BarrierObject& barrier, int x, int y, Line line = Line::here()) {
  detail::copy_box<2>(to, map, barrier, {x, y}, line);
}
inline void copy_box(void* to, const TensorMap& map, BarrierObject& barrier, int x, int y, int z,
                     Line line = Line::here()) {
  detail::copy_box<3>(to, map, barrier, {x, y, z}, line);
}
inline void copy_box(void* to, const TensorMap& map, BarrierObject& barrier, int x, int y, int z, int w,
                     Line line = Line::here()) {
  detail::copy_box<4>(to, map, barrier, {x, y, z, w}, line);
}

/// What threads wrote to shared memory is seen by the copying unit and by matrix products that read shared memory.
inline void shared_writes_ready() {}

#else

__device__ __forceinline__ void copy_box(void* to, const TensorMap& map, BarrierObject& barrier, int x, int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
          "r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "l"(&map), "r"(barrier.address()), "r"(x), "r"(y)
      : "memory");
}
__device__ __forceinline__ void copy_box(void* to, const TensorMap& map, BarrierObject& barrier, int x, int y, int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], "
      "[%2];" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "l"(&map), "r"(barrier.address()), "r"(x), "r"(y), "r"(z)
      : "memory");
}
__device__ __forceinline__ void copy_box(void* to, const TensorMap& map, BarrierObject& barrier, int x, int y, int z,
                                         int w) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
      "[%2];" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "l"(&map), "r"(barrier.address()), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}

__device__ __forceinline__ void shared_writes_ready() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

#endif

}  // namespace mica::cuda
