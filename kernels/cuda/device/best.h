#pragma once
// The larger of two numbers by their values, of equal ones the one that comes first; NaN wins over everything.

#include <cstdint>

#include "mica/kernels/cuda/device/thread.h"

namespace mica::cuda {

template <typename C>
__device__ __forceinline__ bool is_nan(C x) {
  return x != x;
}
template <typename C>
__device__ __forceinline__ bool beats(C candidate, C best) {
  return candidate > best || (is_nan(candidate) && !is_nan(best));
}

template <typename C>
struct Best {
  C value;
  int64_t index;  // -1: none yet
};
template <typename C>
__device__ __forceinline__ bool comes_first(const Best<C>& a, const Best<C>& b) {
  if (a.index < 0 || b.index < 0) return b.index < 0;
  return beats(a.value, b.value) || (!beats(b.value, a.value) && a.index < b.index);
}
/// Of all lanes.
template <typename C>
__device__ __forceinline__ Best<C> best_of_warp(Best<C> mine) {
  for (unsigned bits = kWarp / 2; bits > 0; bits /= 2) {
    const Best<C> other{shuffle_xor(mine.value, bits), shuffle_xor(mine.index, bits)};
    if (comes_first(other, mine)) mine = other;
  }
  return mine;
}

}  // namespace mica::cuda
