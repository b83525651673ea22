#pragma once
// Sums of what the lanes before hold, and lanes found by what they hold.

#include "mica/kernels/cuda/device/thread.h"

namespace mica::cuda {

/// The sum over the lanes up to this one, itself included.
__device__ __forceinline__ int scan_lanes(int value) {
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const int below = shuffle_up(value, distance);
    if (lane_index() >= distance) value += below;
  }
  return value;
}

/// The first lane of a vote that is not empty.
__device__ __forceinline__ unsigned first_lane(uint32_t votes) {
  unsigned lane = 0;
  for (; (votes & 1U) == 0; votes >>= 1) ++lane;
  return lane;
}

}  // namespace mica::cuda
