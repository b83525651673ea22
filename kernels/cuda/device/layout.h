#pragma once
// Where an element of several views of one shape lies: dimensions that lie behind one another in all of them are
// merged, so that most views are walked with one division or none.

#include <array>
#include <cstdint>

#include "mica/kernels/cuda/device/keywords.h"
#include "mica/kernels/view.h"

namespace mica::cuda {

template <int N>
struct Layout {
  int rank = 0;
  int64_t count = 0;
  int64_t shape[kMaxRank] = {};
  int64_t strides[N][kMaxRank] = {};  // in elements
  bool flat = false;                  // element i lies at i in every view

  // offsets[v] = where element i of view v lies.
  __device__ __forceinline__ void offsets(int64_t i, int64_t (&at)[N]) const {
    for (int v = 0; v < N; ++v) at[v] = 0;
    for (int d = rank - 1; d > 0; --d) {
      const int64_t rest = i / shape[d], here = i - rest * shape[d];
      for (int v = 0; v < N; ++v) at[v] += here * strides[v][d];
      i = rest;
    }
    for (int v = 0; v < N; ++v) at[v] += i * strides[v][0];
  }
};

template <size_t N>
Layout<static_cast<int>(N)> layout_of(const std::array<View, N>& views) {
  Layout<static_cast<int>(N)> result;
  result.count = views[0].numel();
  int rank = 0;
  for (int d = 0; d < views[0].rank; ++d) {
    const int64_t size = views[0].size(d);
    if (size == 1) continue;
    bool merges = rank > 0;
    for (size_t v = 0; v < N && merges; ++v) merges = result.strides[v][rank - 1] == views[v].stride(d) * size;
    if (!merges) ++rank;
    result.shape[rank - 1] = merges ? result.shape[rank - 1] * size : size;
    for (size_t v = 0; v < N; ++v) result.strides[v][rank - 1] = views[v].stride(d);
  }
  if (rank == 0) {  // one element
    rank = 1;
    result.shape[0] = result.count;
    for (size_t v = 0; v < N; ++v) result.strides[v][0] = 1;
  }
  result.rank = rank;
  result.flat = rank == 1;
  for (size_t v = 0; v < N; ++v) result.flat = result.flat && result.strides[v][0] == 1;
  return result;
}

}  // namespace mica::cuda
