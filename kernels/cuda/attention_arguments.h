#pragma once
// What attention's kernels are handed, and what all of them compute alike: the score of a query and a key from their
// product, which keys a query sees, dropout's factor.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "mica/kernels/attention.h"
#include "mica/kernels/cuda/device/number.h"
#include "mica/kernels/cuda/device/seed.h"
#include "mica/kernels/random.h"

namespace mica::cuda {

/// A [rows, heads, size] operand; strides in elements, that of the last dimension 1.
template <typename T>
struct HeadRows {
  T* data = nullptr;
  int64_t row_stride = 0, head_stride = 0;
  HeadRows() = default;
  explicit HeadRows(const View& view) : data(view.as<T>()), row_stride(view.stride(0)), head_stride(view.stride(1)) {}
  __device__ __forceinline__ T* at(int64_t row, int64_t head) const {
    return data + row * row_stride + head * head_stride;
  }
};

/// [heads, rows], any strides.
template <typename T>
struct HeadColumns {
  T* data = nullptr;
  int64_t head_stride = 0, row_stride = 0;
  HeadColumns() = default;
  explicit HeadColumns(const View& view)
      : data(view.as<T>()), head_stride(view.stride(0)), row_stride(view.stride(1)) {}
  __device__ __forceinline__ T& at(int64_t row, int64_t head) const {
    return data[row * row_stride + head * head_stride];
  }
};

struct SegmentTable {
  const int32_t *first = nullptr, *lengths = nullptr;
  SegmentTable() = default;
  explicit SegmentTable(const Segments& s) : first(s.device), lengths(s.lengths.empty() ? nullptr : s.device_lengths) {}
  __device__ __forceinline__ int begin(int64_t i) const { return first[i]; }
  __device__ __forceinline__ int length(int64_t i) const {
    return lengths != nullptr ? lengths[i] : first[i + 1] - first[i];
  }
};

/// Keys [begin, end) of a sequence.
struct KeySpan {
  int begin, end;
};

/// AttentionArguments but for the queries, keys and values themselves. T is the queries' type.
template <typename T>
struct AttentionRule {
  using C = Computed<T>;
  static constexpr int kAll = 1 << 30;  // beyond any position

  SegmentTable queries, keys;
  int heads = 0, key_heads = 0, sequences = 0;
  C scale = 1, softcap = 0;
  int before = kAll, after = kAll;  // the query at position p sees the keys in [p - before, p + after]
  const uint8_t* mask = nullptr;
  int64_t mask_stride = 0;
  const T* bias = nullptr;
  int64_t bias_sequence = 0, bias_head = 0, bias_query = 0;  // strides, 0 where the size is 1
  const T *slopes = nullptr, *sinks = nullptr;
  int64_t slopes_stride = 0, sinks_stride = 0;
  float dropout = 0;
  Seed seed;

  explicit AttentionRule(const AttentionArguments& a)
      : queries(a.query_segments),
        keys(a.key_segments),
        heads(static_cast<int>(a.query.size(1))),
        key_heads(static_cast<int>(a.key.size(1))),
        sequences(static_cast<int>(a.query_segments.count())),
        scale(static_cast<C>(a.scale)),
        softcap(static_cast<C>(a.softcap)),
        dropout(a.dropout),
        seed(a.seed) {
    const int window = static_cast<int>(std::min<int64_t>(a.window, kAll));
    if (window > 0) before = a.causal ? window - 1 : window;
    if (a.causal) {
      after = 0;
    } else if (window > 0) {
      after = window;
    }
    if (a.key_mask) {
      mask = a.key_mask.as<const uint8_t>();
      mask_stride = a.key_mask.stride(0);
    }
    if (a.bias) {
      bias = a.bias.as<const T>();
      bias_sequence = a.bias.size(0) == 1 ? 0 : a.bias.stride(0);
      bias_head = a.bias.size(1) == 1 ? 0 : a.bias.stride(1);
      bias_query = a.bias.size(2) == 1 ? 0 : a.bias.stride(2);
    }
    if (a.alibi_slopes) {
      slopes = a.alibi_slopes.as<const T>();
      slopes_stride = a.alibi_slopes.stride(0);
    }
    if (a.sinks) {
      sinks = a.sinks.as<const T>();
      sinks_stride = a.sinks.stride(0);
    }
  }
};

/// One head of one sequence. Queries and keys are counted from the sequence's first.
template <typename T>
struct AttentionHead {
  using C = Computed<T>;
  const AttentionRule<T>& rule;
  int sequence, head, key_head;
  int queries, keys;
  int query_begin, key_begin;  // first rows

  __device__ __forceinline__ AttentionHead(const AttentionRule<T>& r, int s, int h)
      : rule(r),
        sequence(s),
        head(h),
        key_head(h / (r.heads / r.key_heads)),
        queries(r.queries.length(s)),
        keys(r.keys.length(s)),
        query_begin(r.queries.begin(s)),
        key_begin(r.keys.begin(s)) {}

  /// The last query stands beside the last key.
  __device__ __forceinline__ int position(int query) const { return query + keys - queries; }
  /// What the queries [first, last] see together, the mask apart.
  __device__ __forceinline__ KeySpan visible(int first, int last) const {
    return {std::min(std::max(position(first) - rule.before, 0), keys),
            std::min(std::max(position(last) + rule.after + 1, 0), keys)};
  }
  __device__ __forceinline__ bool sees(int query, int key) const {
    const int back = position(query) - key;
    return back <= rule.before && -back <= rule.after && !masked(key);
  }
  __device__ __forceinline__ bool masked(int key) const {
    return rule.mask != nullptr && rule.mask[(key_begin + key) * rule.mask_stride] == 0;
  }

  /// From scale * query · key; `slope` gets the derivative.
  __device__ __forceinline__ C score(C s, int query, int key, C& slope) const {
    slope = 1;
    if (rule.softcap > 0) {
      const C t = std::tanh(s / rule.softcap);
      s = rule.softcap * t;
      slope = 1 - t * t;
    }
    if (rule.bias != nullptr) {
      s += widen(rule.bias[sequence * rule.bias_sequence + head * rule.bias_head + query * rule.bias_query + key]);
    }
    if (rule.slopes != nullptr) {
      s += widen(rule.slopes[head * rule.slopes_stride]) * static_cast<C>(key - position(query));
    }
    return s;
  }

  __device__ __forceinline__ bool has_sink() const { return rule.sinks != nullptr; }
  __device__ __forceinline__ C sink() const { return widen(rule.sinks[head * rule.sinks_stride]); }

  /// 1 / (1 - p) for a kept weight, 0 for a dropped one.
  __device__ __forceinline__ C factor(int query, int key) const {
    if (!(rule.dropout > 0)) return 1;
    const auto index = static_cast<uint64_t>(int64_t{query} * keys + key);
    return kept(words(index >> 2), static_cast<unsigned>(index & 3));
  }
  /// Of a key and the next: mostly the same four words hold both.
  __device__ __forceinline__ void factors(int query, int key, C (&two)[2]) const {
    const auto index = static_cast<uint64_t>(int64_t{query} * keys + key);
    const auto place = static_cast<unsigned>(index & 3);
    auto four = words(index >> 2);
    two[0] = kept(four, place);
    if (place == 3) four = words((index >> 2) + 1);
    two[1] = kept(four, (place + 1) & 3);
  }

 private:
  /// What philox_word(seed, stream, 4 block + 0 .. 3) gives.
  __device__ __forceinline__ std::array<uint32_t, 4> words(uint64_t block) const {
    const auto stream = static_cast<uint64_t>(int64_t{sequence} * rule.heads + head);
    return philox({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), static_cast<uint32_t>(stream),
                   static_cast<uint32_t>(stream >> 32)},
                  rule.seed.get());
  }
  __device__ __forceinline__ C kept(const std::array<uint32_t, 4>& four, unsigned place) const {
    // Chosen, not indexed: an index would put the words in memory.
    const uint32_t low = place & 1 ? four[1] : four[0], high = place & 1 ? four[3] : four[2];
    return uniform_from_word(place & 2 ? high : low) >= rule.dropout ? C(1) / (C(1) - static_cast<C>(rule.dropout))
                                                                     : C(0);
  }
};

/// The largest score so far and the sum of exp(score - largest); what a sink adds comes first.
template <typename C>
struct RunningSum {
  C largest, total;
  /// Raises the largest to at least s, and returns by what earlier sums must be multiplied.
  __device__ __forceinline__ C raise(C s) {
    const C now = largest > s || largest != largest ? largest : s;
    const C factor = now == minus_infinity<C>() ? C(1) : std::exp(largest - now);
    largest = now;
    total *= factor;
    return factor;
  }
  /// exp(s - largest), 0 for a hidden key.
  __device__ __forceinline__ C weight(C s) const { return s == minus_infinity<C>() ? C(0) : std::exp(s - largest); }
};

/// What the backward pass keeps of a query: weights are exp(score - largest) * inverse. Of a query that sees no key
/// (and no sink) all weights are -inverse. The log sum exp has no room for this: beside scores as large as a mask's it
/// loses the logarithm of the sum, and 16 bits hold too little of it.
template <typename C>
struct RowSum {
  C largest, inverse;
  C along;  ///< rowsum(dO * O)
  __device__ __forceinline__ bool blind() const { return inverse < 0; }
};

template <typename C>
__device__ __forceinline__ C blind_inverse(int keys) {
  return C(-1) / static_cast<C>(keys > 0 ? keys : 1);
}

/// The lowest finite number of the type.
template <typename T>
__device__ __forceinline__ Computed<T> lowest() {
  if constexpr (std::is_same_v<T, float16>) {
    return -65504.0F;
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    return -0x1.FEp127F;
  } else {
    return -std::numeric_limits<T>::max();
  }
}

/// The longest of the segments.
inline int64_t longest(const Segments& segments) {
  int64_t most = 0;
  for (int64_t i = 0; i < segments.count(); ++i) most = std::max(most, segments.length(i));
  return most;
}

}  // namespace mica::cuda
