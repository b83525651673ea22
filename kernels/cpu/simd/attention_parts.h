#pragma once
// What the forward and the backward pass of attention share.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "mica/base/parallel.h"
#include "mica/kernels/attention.h"
#include "mica/kernels/cpu/simd/attention_rows.h"
#include "mica/kernels/cpu/simd/attention_stream.h"

namespace mica::cpu::simd {

constexpr int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// Where a sequence's rows lie.
struct Sequence {
  int64_t query_begin, queries, key_begin, keys;
  Sequence(const AttentionArguments& a, int64_t i)
      : query_begin(a.query_segments.begin(i)),
        queries(a.query_segments.length(i)),
        key_begin(a.key_segments.begin(i)),
        keys(a.key_segments.length(i)) {}

  /// Keys that any of its queries sees.
  KeyRange visible(const Reach& reach) const { return reach.visible(keys - queries, keys - 1, keys); }
  /// Keys that a query sees at most; what a query costs.
  int64_t sight(const Reach& reach) const { return std::min(keys, reach.before + reach.after + 1); }
};

inline float* element(const View& view, int64_t row, int64_t head) {
  return view.as<float>() + row * view.stride(0) + head * view.stride(1);
}

inline const void* element_of_any(const View& view, int64_t row, int64_t head) {
  return view.as<const char>() + (row * view.stride(0) + head * view.stride(1)) * item_size(view.dtype);
}

/// Rows of keys or values in float32.
struct FloatRows {
  const float* data;
  int64_t stride;
};

/// The rows [row, row + count) of a head: as they lie, or widened into `space`, which has room for them.
inline FloatRows float_rows(const View& view, int64_t row, int64_t head, int64_t count, float* space) {
  if (view.dtype == DType::float32) return {element(view, row, head), view.stride(0)};
  const int64_t size = view.size(2);
  for (int64_t r = 0; r < count; ++r) widen(element_of_any(view, row + r, head), view.dtype, size, space + r * size);
  return {space, size};
}
inline const float* float_row(const View& view, int64_t row, int64_t head, float* space) {
  return float_rows(view, row, head, 1, space).data;
}

/// How the row of a query ends, given its largest score (times exponent) and its sum of weights relative to that.
struct RowEnd {
  bool blind;    ///< it saw no key
  float factor;  ///< that its weighted values are to be multiplied by
  float total;   ///< log sum exp
};
RowEnd end_row(const AttentionArguments& a, int64_t head, double largest, float sum);

/// mask[k] = 0 where key_mask lets the sequence's key range.begin + k be seen, else -infinity.
void make_mask(const AttentionArguments& a, const Sequence& s, const KeyRange& range, float* mask);

/// The rows of scores of the queries [first, first + rows) of a sequence, all but their state. mask: of the key 0.
ScoreRows score_task(const AttentionArguments& a, const Sequence& s, int64_t sequence, int64_t head, int64_t first,
                     int64_t rows, const float* mask);

/// Dropout of the weights of one query and the keys [first_key, first_key + count): factors[k] is 0 or 1 / (1 - p).
void dropout_factors(const AttentionArguments& a, const Sequence& s, int64_t sequence, int64_t head, int64_t query,
                     int64_t first_key, int64_t count, float* factors);

/// Shares units evenly by cost among all threads: body(sequence, first_unit, last_unit) on the caller's threads, in
/// order, where sequence i has units(i) units that cost cost(i) together. make() makes what a thread works with.
template <typename Units, typename Cost, typename Make>
void share_by_cost(int64_t sequences, bool serial, const Units& units, const Cost& cost, const Make& make) {
  double total = 0;
  for (int64_t i = 0; i < sequences; ++i) total += cost(i);
  const int64_t pieces = serial ? 1 : num_threads();
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    auto body = make();
    const double from = total * static_cast<double>(begin) / static_cast<double>(pieces);
    const double to = total * static_cast<double>(end) / static_cast<double>(pieces);
    double passed = 0;
    for (int64_t i = 0; i < sequences; ++i) {
      if (end < pieces && passed >= to) break;
      const int64_t count = units(i);
      const double price = cost(i);
      if (count > 0) {
        // Units whose place on the line of costs falls into [from, to).
        const auto unit_at = [&](double place) {
          const double unit = std::ceil((place - passed) / price * static_cast<double>(count));
          return static_cast<int64_t>(std::clamp(unit, 0.0, static_cast<double>(count)));
        };
        const int64_t last = end == pieces ? count : unit_at(to);
        for (int64_t unit = begin == 0 ? 0 : unit_at(from); unit < last; ++unit) body(i, unit);
      }
      passed += price;
    }
  });
}

}  // namespace mica::cpu::simd
