#pragma once
// Which keys the queries of a sequence may see by where they stand: causal order and window.

#include <algorithm>
#include <cstdint>

#include "mica/kernels/attention.h"

namespace mica::cpu {

/// Positions [begin, end) of a sequence's keys.
struct KeyRange {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

/// The query at position p sees the keys in [p - before, p + after].
struct Reach {
  static constexpr int64_t kAll = int64_t{1} << 40;
  int64_t before = kAll, after = kAll;

  Reach() = default;
  explicit Reach(const AttentionArguments& a) {
    const int64_t window = std::min(a.window, kAll);
    if (window > 0) before = a.causal ? window - 1 : window;
    if (a.causal) {
      after = 0;
    } else if (window > 0) {
      after = window;
    }
  }

  /// Of `keys` keys, those that the queries at the positions [first, last] see together.
  KeyRange visible(int64_t first, int64_t last, int64_t keys) const {
    return {std::clamp<int64_t>(first - before, 0, keys), std::clamp<int64_t>(last + after + 1, 0, keys)};
  }
  KeyRange visible(int64_t position, int64_t keys) const { return visible(position, position, keys); }
};

}  // namespace mica::cpu
