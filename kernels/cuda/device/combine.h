#pragma once
// Sums and maxima over the lanes of a warp and the threads of a block, in one fixed order.

#include "mica/kernels/cuda/device/thread.h"

namespace mica::cuda {

struct Add {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
/// NaN wins.
struct Largest {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};
struct Smallest {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

/// Over `lanes` neighbouring lanes (a power of two); every lane gets the same bits.
template <typename T, typename Op>
__device__ __forceinline__ T combine_lanes(T value, Op op, unsigned lanes = kWarp) {
  for (unsigned bits = lanes / 2; bits > 0; bits /= 2) value = op(value, shuffle_xor(value, bits));
  return value;
}

/// Over all threads of a one-dimensional block of whole warps; every thread gets the result. `scratch` is shared memory
/// of 32 elements; it may be used again after the next barrier.
template <typename T, typename Op>
__device__ __forceinline__ T combine_block(T value, Op op, T* scratch) {
  value = combine_lanes(value, op);
  const unsigned warps = threads_x() / kWarp;
  if (warps == 1) return value;
  if (lane_index() == 0) scratch[warp_index()] = value;
  block_barrier();
  value = scratch[0];
  for (unsigned w = 1; w < warps; ++w) value = op(value, scratch[w]);
  block_barrier();
  return value;
}

}  // namespace mica::cuda
