#pragma once
// Several views of one shape, walked together: dimensions that lie behind one another in all of them are merged, and
// what is left is split into runs along the last dimension.

#include <algorithm>
#include <array>

#include "mica/kernels/cpu/support.h"

namespace mica::cpu {

template <size_t N>
struct Run {
  std::array<char*, N> data;
  std::array<int64_t, N> strides;  ///< in elements
  int64_t size;
};

/// Calls body(Run) in parallel for runs that cover all elements of the views, which have one shape. Which elements form
/// a run depends on nothing but the views.
template <size_t N, typename Body>
void walk(const std::array<View, N>& views, const Body& body) {
  // Merge dimensions.
  int rank = 0;
  std::array<int64_t, kMaxRank> shape{};
  std::array<std::array<int64_t, kMaxRank>, N> strides{};
  for (int d = 0; d < views[0].rank; ++d) {
    const int64_t size = views[0].size(d);
    if (size == 0) return;
    if (size == 1) continue;
    bool merges = rank > 0;
    for (size_t v = 0; v < N && merges; ++v) {
      merges = strides[v][static_cast<size_t>(rank - 1)] == views[v].stride(d) * size;
    }
    if (!merges) ++rank;
    const auto last = static_cast<size_t>(rank - 1);
    shape[last] = merges ? shape[last] * size : size;
    for (size_t v = 0; v < N; ++v) strides[v][last] = views[v].stride(d);
  }
  if (rank == 0) {  // one element
    rank = 1;
    shape[0] = 1;
    for (size_t v = 0; v < N; ++v) strides[v][0] = 1;
  }

  const auto last = static_cast<size_t>(rank - 1);
  const int64_t inner = shape[last];
  int64_t outer = 1;
  for (size_t d = 0; d < last; ++d) outer *= shape[d];
  const int64_t parts = (inner + kGrain - 1) / kGrain;  // a long run is cut so that threads can share it
  parallel_for(outer * parts, row_grain(inner), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % parts * kGrain;
      int64_t rest = task / parts;
      std::array<int64_t, N> offsets{};
      for (size_t d = last; d-- > 0;) {
        for (size_t v = 0; v < N; ++v) offsets[v] += rest % shape[d] * strides[v][d];
        rest /= shape[d];
      }
      Run<N> run;
      run.size = std::min(kGrain, inner - first);
      for (size_t v = 0; v < N; ++v) {
        run.strides[v] = strides[v][last];
        run.data[v] = views[v].template as<char>() + (offsets[v] + first * run.strides[v]) * item_size(views[v].dtype);
      }
      body(run);
    }
  });
}

}  // namespace mica::cpu
