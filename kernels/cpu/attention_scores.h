#pragma once
// The plain attention's scores and weights: one block of queries of one (sequence, head), whole rows at a time.

#include <algorithm>
#include <cmath>
#include <limits>

#include "mica/kernels/cpu/attention_reach.h"
#include "mica/kernels/cpu/pointwise.h"
#include "mica/kernels/cpu/product.h"
#include "mica/kernels/cpu/support.h"
#include "mica/kernels/random.h"

namespace mica::cpu {

/// Rows of one head of a [rows, heads, size] view.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  Rows(const View& view, int64_t row, int64_t head)
      : data(view.as<T>() + row * view.stride(0) + head * view.stride(1)), stride(view.stride(0)) {}
};

/// Likewise of any floating dtype: keys and values may be narrower than the queries.
struct AnyRows {
  const void* data;
  DType dtype;
  int64_t stride;
  AnyRows(const View& view, int64_t row, int64_t head)
      : data(view.as<const char>() + (row * view.stride(0) + head * view.stride(1)) * item_size(view.dtype)),
        dtype(view.dtype),
        stride(view.stride(0)) {}
};

/// One block of queries of one (sequence, head).
template <typename T>
struct Block {
  const AttentionArguments& arguments;
  int64_t sequence, head, key_head;
  int64_t query_begin, key_begin;  // the sequence's first rows
  int64_t queries, keys;           // of the sequence
  int64_t first = 0, rows = 0;     // the block: queries [first, first + rows) of the sequence

  Block(const AttentionArguments& a, int64_t s, int64_t h)
      : arguments(a),
        sequence(s),
        head(h),
        key_head(h / (a.query.size(1) / a.key.size(1))),
        query_begin(a.query_segments.begin(s)),
        key_begin(a.key_segments.begin(s)),
        queries(a.query_segments.length(s)),
        keys(a.key_segments.length(s)) {}

  Rows<T> query_rows(const View& view) const { return {view, query_begin + first, head}; }
  Rows<T> key_rows(const View& view) const { return {view, key_begin, key_head}; }
  AnyRows any_query_rows(const View& view) const { return {view, query_begin + first, head}; }
  AnyRows any_key_rows(const View& view) const { return {view, key_begin, key_head}; }

  int64_t bias_offset(const View& bias, int64_t query) const {
    return (bias.size(0) == 1 ? 0 : sequence * bias.stride(0)) + (bias.size(1) == 1 ? 0 : head * bias.stride(1)) +
           (bias.size(2) == 1 ? 0 : query * bias.stride(2));
  }

  /// The element of log_sum_exp that row r of the block owns.
  T& total(const View& log_sum_exp, int64_t r) const {
    return log_sum_exp.as<T>()[head * log_sum_exp.stride(0) + (query_begin + first + r) * log_sum_exp.stride(1)];
  }

  /// The head's value of a [heads] operand; null if left out.
  const T* of_head(const View& x) const { return x ? x.as<const T>() + head * x.stride(0) : nullptr; }
};

/// out [rows, columns] = alpha * a [rows, k] · b, b [k, columns] or, transposed, [columns, k].
template <typename T>
void multiply(int64_t rows, int64_t columns, int64_t k, const T* a, int64_t a_row, int64_t a_k, const AnyRows& b,
              bool transpose_b, T alpha, bool accumulate, T* out, int64_t out_row) {
  const Product<T> operands{.m = rows,
                            .n = columns,
                            .k = k,
                            .a = a,
                            .a_row = a_row,
                            .a_k = a_k,
                            .b = b.data,
                            .b_dtype = b.dtype,
                            .b_k = transpose_b ? 1 : b.stride,
                            .b_column = transpose_b ? b.stride : 1};
  product_into<T>(operands, alpha, accumulate, out, out_row);
}

/// x = cap * tanh(x / cap); slopes[i], if wanted, is the derivative of that.
template <typename T>
void cap_row(T* x, int64_t count, T cap, T* slopes) {
  for (int64_t i = 0; i < count; ++i) {
    const T t = std::tanh(x[i] / cap);
    x[i] = cap * t;
    if (slopes != nullptr) slopes[i] = 1 - t * t;
  }
}

/// scores [rows, keys] of a block, -infinity where a key is hidden. slopes [rows, keys], where softcap is used and
/// they are wanted: the derivative of a capped score.
template <typename T>
void make_scores(const Block<T>& block, T* scores, T* slopes) {
  const AttentionArguments& a = block.arguments;
  const Rows<T> query = block.query_rows(a.query);
  multiply<T>(block.rows, block.keys, a.query.size(2), query.data, query.stride, 1, block.any_key_rows(a.key), true,
              static_cast<T>(a.scale), false, scores, block.keys);
  if (a.softcap > 0) cap_row(scores, block.rows * block.keys, static_cast<T>(a.softcap), slopes);
  constexpr T kHidden = -std::numeric_limits<T>::infinity();
  const Reach reach(a);
  const T* alibi = block.of_head(a.alibi_slopes);
  for (int64_t r = 0; r < block.rows; ++r) {
    T* row = scores + r * block.keys;
    const int64_t query_index = block.first + r, position = query_index + block.keys - block.queries;
    if (a.bias) {
      const T* bias = a.bias.as<const T>() + block.bias_offset(a.bias, query_index);
      for (int64_t k = 0; k < block.keys; ++k) row[k] += bias[k];
    }
    if (alibi != nullptr) {
      for (int64_t k = 0; k < block.keys; ++k) row[k] += *alibi * static_cast<T>(k - position);
    }
    if (a.key_mask) {
      const uint8_t* mask = a.key_mask.as<const uint8_t>() + block.key_begin * a.key_mask.stride(0);
      for (int64_t k = 0; k < block.keys; ++k) {
        if (mask[k * a.key_mask.stride(0)] == 0) row[k] = kHidden;
      }
    }
    const KeyRange visible = reach.visible(position, block.keys);
    std::fill(row, row + visible.begin, kHidden);
    std::fill(row + visible.end, row + block.keys, kHidden);
  }
}

/// Whether any key is visible; NaN counts, so that it reaches the output.
template <typename T>
bool sees_any(const T* row, int64_t keys) {
  return std::any_of(row, row + keys, [](T s) { return s != -std::numeric_limits<T>::infinity(); });
}

/// The weights of a query that sees no key: all alike, or none beside a sink.
template <typename T>
void blind_row(T* row, int64_t keys, bool sink) {
  std::fill_n(row, keys, sink ? T(0) : T(1) / static_cast<T>(std::max<int64_t>(1, keys)));
}

/// Scores to weights by softmax, with the sink's score in its sum, if there is one; returns log sum exp, the lowest
/// number for a query that sees no key and no sink.
template <typename T>
T softmax_row(T* row, int64_t keys, const T* sink) {
  if (!sees_any(row, keys)) {
    blind_row(row, keys, sink != nullptr);
    return sink != nullptr ? *sink : std::numeric_limits<T>::lowest();
  }
  T largest = *std::max_element(row, row + keys);
  if (sink != nullptr) largest = std::max(largest, *sink);
  for (int64_t k = 0; k < keys; ++k) row[k] = std::exp(row[k] - largest);
  double sum = sum_of(keys, [&](int64_t k) { return row[k]; });
  if (sink != nullptr) sum += static_cast<double>(std::exp(*sink - largest));
  const auto factor = static_cast<T>(1 / sum);
  for (int64_t k = 0; k < keys; ++k) row[k] *= factor;
  return static_cast<T>(static_cast<double>(largest) + std::log(sum));
}

/// factors[k] = 1 / (1 - p) for a kept weight of the query, 0 for a dropped one.
template <typename T>
void dropout_row(const Block<T>& block, int64_t query, T* factors) {
  const AttentionArguments& a = block.arguments;
  const auto stream = static_cast<uint64_t>(block.sequence * a.query.size(1) + block.head);
  const T scale = T(1) / (T(1) - static_cast<T>(a.dropout));
  for (int64_t k = 0; k < block.keys; ++k) {
    const auto index = static_cast<uint64_t>(query * block.keys + k);
    factors[k] = uniform_from_word(philox_word(a.seed, stream, index)) >= a.dropout ? scale : T(0);
  }
}

}  // namespace mica::cpu
