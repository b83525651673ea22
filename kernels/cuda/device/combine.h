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

#ifdef MICA_EMULATED

namespace detail {
// The exchanges of combine_lanes() below, all at one meeting: the same pairs in the same order, and far fewer switches.
template <typename T, typename Op>
struct Combined {
  T value;
  Op op;
  unsigned lanes;
  static void run(void* const* members, unsigned count) {
    const Combined& any = *static_cast<const Combined*>(members[0]);
    const Op op = any.op;
    const unsigned lanes = any.lanes;
    T now[kWarp], next[kWarp];
    for (unsigned lane = 0; lane < count; ++lane) now[lane] = static_cast<const Combined*>(members[lane])->value;
    for (unsigned bits = lanes / 2; bits > 0; bits /= 2) {
      for (unsigned lane = 0; lane < kWarp; ++lane) next[lane] = op(now[lane], now[lane ^ bits]);
      for (unsigned lane = 0; lane < kWarp; ++lane) now[lane] = next[lane];
    }
    for (unsigned lane = 0; lane < count; ++lane) static_cast<Combined*>(members[lane])->value = now[lane];
  }
};
}  // namespace detail

/// Over `lanes` neighbouring lanes (a power of two); every lane gets the same bits.
template <typename T, typename Op>
T combine_lanes(T value, Op op, unsigned lanes = kWarp, Line line = Line::here()) {
  detail::Combined<T, Op> mine{value, op, lanes};
  emulate::meet_warp(kAllLanes, &mine, detail::Combined<T, Op>::run, "combine_lanes", line);
  return mine.value;
}

#else

/// Over `lanes` neighbouring lanes (a power of two); every lane gets the same bits.
template <typename T, typename Op>
__device__ __forceinline__ T combine_lanes(T value, Op op, unsigned lanes = kWarp) {
  for (unsigned bits = lanes / 2; bits > 0; bits /= 2) value = op(value, shuffle_xor(value, bits));
  return value;
}

#endif

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
