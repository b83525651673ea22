// Attention in its plain form; float32 goes through the SIMD kernels, but for gradients of the bias. One (sequence,
// head) at a time and a block of its queries at once: the scores of the block in full, softmax, product with the
// values. The backward pass makes the weights again from the scores and log_sum_exp.

#include "mica/kernels/attention.h"

#include <cmath>
#include <limits>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/pointwise.h"
#include "mica/kernels/cpu/product.h"
#include "mica/kernels/cpu/simd/attention.h"
#include "mica/kernels/cpu/support.h"
#include "mica/kernels/random.h"

namespace mica {
namespace cpu {
namespace {

constexpr int64_t kQueries = 64;  // of a block

// Rows of one head of a [rows, heads, size] view.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  Rows(const View& view, int64_t row, int64_t head)
      : data(view.as<T>() + row * view.stride(0) + head * view.stride(1)), stride(view.stride(0)) {}
};

// One block of queries of one (sequence, head).
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
        query_begin(a.query_segments.host[static_cast<size_t>(s)]),
        key_begin(a.key_segments.host[static_cast<size_t>(s)]),
        queries(a.query_segments.host[static_cast<size_t>(s + 1)] - query_begin),
        keys(a.key_segments.host[static_cast<size_t>(s + 1)] - key_begin) {}

  Rows<T> query_rows(const View& view) const { return {view, query_begin + first, head}; }
  Rows<T> key_rows(const View& view) const { return {view, key_begin, key_head}; }

  int64_t bias_offset(const View& bias, int64_t query) const {
    return (bias.size(0) == 1 ? 0 : sequence * bias.stride(0)) + (bias.size(1) == 1 ? 0 : head * bias.stride(1)) +
           (bias.size(2) == 1 ? 0 : query * bias.stride(2));
  }
};

// out [rows, columns] = alpha * a [rows, k] · b, b [k, columns] or, transposed, [columns, k].
template <typename T>
void multiply(int64_t rows, int64_t columns, int64_t k, const T* a, int64_t a_row, int64_t a_k, Rows<T> b,
              bool transpose_b, T alpha, bool accumulate, T* out, int64_t out_row) {
  const Product<T> operands{.m = rows,
                            .n = columns,
                            .k = k,
                            .a = a,
                            .a_row = a_row,
                            .a_k = a_k,
                            .b = b.data,
                            .b_dtype = dtype_of<T>(),
                            .b_k = transpose_b ? 1 : b.stride,
                            .b_column = transpose_b ? b.stride : 1};
  product_into<T>(operands, alpha, accumulate, out, out_row);
}

// scores [rows, keys] of a block, -infinity where a key is hidden.
template <typename T>
void make_scores(const Block<T>& block, T* scores) {
  const AttentionArguments& a = block.arguments;
  const Rows<T> query = block.query_rows(a.query);
  multiply<T>(block.rows, block.keys, a.query.size(2), query.data, query.stride, 1, block.key_rows(a.key), true,
              static_cast<T>(a.scale), false, scores, block.keys);
  constexpr T kHidden = -std::numeric_limits<T>::infinity();
  for (int64_t r = 0; r < block.rows; ++r) {
    T* row = scores + r * block.keys;
    const int64_t query_index = block.first + r;
    if (a.bias) {
      const T* bias = a.bias.as<const T>() + block.bias_offset(a.bias, query_index);
      for (int64_t k = 0; k < block.keys; ++k) row[k] += bias[k];
    }
    if (a.key_mask) {
      const uint8_t* mask = a.key_mask.as<const uint8_t>() + block.key_begin * a.key_mask.stride(0);
      for (int64_t k = 0; k < block.keys; ++k) {
        if (mask[k * a.key_mask.stride(0)] == 0) row[k] = kHidden;
      }
    }
    if (a.causal) {
      const int64_t visible = std::clamp<int64_t>(query_index + block.keys - block.queries + 1, 0, block.keys);
      std::fill(row + visible, row + block.keys, kHidden);
    }
  }
}

// Whether any key is visible; NaN counts, so that it reaches the output.
template <typename T>
bool sees_any(const T* row, int64_t keys) {
  return std::any_of(row, row + keys, [](T s) { return s != -std::numeric_limits<T>::infinity(); });
}

// Scores to weights by softmax; returns log sum exp, the lowest number for a query that sees no key.
template <typename T>
T softmax_row(T* row, int64_t keys) {
  if (!sees_any(row, keys)) {
    std::fill_n(row, keys, T(1) / static_cast<T>(std::max<int64_t>(1, keys)));
    return std::numeric_limits<T>::lowest();
  }
  const T largest = *std::max_element(row, row + keys);
  for (int64_t k = 0; k < keys; ++k) row[k] = std::exp(row[k] - largest);
  const double sum = sum_of(keys, [&](int64_t k) { return row[k]; });
  const auto factor = static_cast<T>(1 / sum);
  for (int64_t k = 0; k < keys; ++k) row[k] *= factor;
  return static_cast<T>(static_cast<double>(largest) + std::log(sum));
}

// Scores to weights from a known log sum exp.
template <typename T>
void weights_row(T* row, int64_t keys, T log_sum_exp) {
  if (!sees_any(row, keys)) {
    std::fill_n(row, keys, T(1) / static_cast<T>(std::max<int64_t>(1, keys)));
    return;
  }
  for (int64_t k = 0; k < keys; ++k) row[k] = std::exp(row[k] - log_sum_exp);
}

// factors[k] = 1 / (1 - p) for a kept weight of the query, 0 for a dropped one.
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

template <typename T>
void forward_block(const Block<T>& block, const View& output, const View& log_sum_exp) {
  const AttentionArguments& a = block.arguments;
  T* scores = scratch<T>(Scratch::scores, block.rows * block.keys);
  T* factors = scratch<T>(Scratch::row, block.keys);
  make_scores(block, scores);
  for (int64_t r = 0; r < block.rows; ++r) {
    T* row = scores + r * block.keys;
    const T total = softmax_row(row, block.keys);
    if (log_sum_exp) {
      log_sum_exp
          .as<T>()[block.head * log_sum_exp.stride(0) + (block.query_begin + block.first + r) * log_sum_exp.stride(1)] =
          total;
    }
    if (a.dropout > 0) {
      dropout_row(block, block.first + r, factors);
      for (int64_t k = 0; k < block.keys; ++k) row[k] *= factors[k];
    }
  }
  const Rows<T> out = block.query_rows(output);
  multiply<T>(block.rows, a.value.size(2), block.keys, scores, block.keys, 1, block.key_rows(a.value), false, T(1),
              false, out.data, out.stride);
}

template <typename T>
void forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp) {
  const int64_t heads = arguments.query.size(1);
  const int64_t sequences = arguments.query_segments.count();
  // Block by block, so that one long sequence keeps all threads busy.
  int64_t longest = 0;
  for (int64_t s = 0; s < sequences; ++s) longest = std::max(longest, Block<T>(arguments, s, 0).queries);
  const int64_t blocks = (longest + kQueries - 1) / kQueries;
  parallel_for(sequences * heads * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      Block<T> block(arguments, task / (heads * blocks), task / blocks % heads);
      block.first = task % blocks * kQueries;
      block.rows = std::min(kQueries, block.queries - block.first);
      if (block.rows > 0) forward_block(block, output, log_sum_exp);
    }
  });
}

struct Gradients {
  const View &query, &key, &value, &bias;
};

template <typename T>
void backward_block(const Block<T>& block, const View& output, const View& log_sum_exp, const View& d_output,
                    const Gradients& d) {
  const AttentionArguments& a = block.arguments;
  const int64_t keys = block.keys;
  const int64_t value_size = a.value.size(2);
  T* weights = scratch<T>(Scratch::scores, block.rows * keys);
  T* d_scores = scratch<T>(Scratch::score_gradients, block.rows * keys);
  T* factors = scratch<T>(Scratch::row, keys);
  const Rows<T> d_out = block.query_rows(d_output);
  const Rows<T> out = block.query_rows(output);

  make_scores(block, weights);
  multiply<T>(block.rows, keys, value_size, d_out.data, d_out.stride, 1, block.key_rows(a.value), true, T(1), false,
              d_scores, keys);
  for (int64_t r = 0; r < block.rows; ++r) {
    T* p = weights + r * keys;
    T* ds = d_scores + r * keys;
    const int64_t query = block.first + r;
    weights_row(
        p, keys,
        log_sum_exp
            .as<const T>()[block.head * log_sum_exp.stride(0) + (block.query_begin + query) * log_sum_exp.stride(1)]);
    const auto total = static_cast<T>(sum_of(value_size, [&](int64_t i) {
      return static_cast<double>(d_out.data[r * d_out.stride + i]) * static_cast<double>(out.data[r * out.stride + i]);
    }));
    if (a.dropout > 0) {
      dropout_row(block, query, factors);
    } else {
      std::fill_n(factors, keys, T(1));
    }
    for (int64_t k = 0; k < keys; ++k) {
      ds[k] = p[k] * (ds[k] * factors[k] - total);
      p[k] *= factors[k];
    }
    if (d.bias) {
      T* d_bias = d.bias.as<T>() + block.bias_offset(d.bias, query);
      for (int64_t k = 0; k < keys; ++k) d_bias[k] += ds[k];
    }
  }

  const auto scale = static_cast<T>(a.scale);
  const int64_t size = a.query.size(2);
  const Rows<T> d_query = block.query_rows(d.query);
  const Rows<T> d_key = block.key_rows(d.key);
  const Rows<T> d_value = block.key_rows(d.value);
  multiply<T>(block.rows, size, keys, d_scores, keys, 1, block.key_rows(a.key), false, scale, false, d_query.data,
              d_query.stride);
  multiply<T>(keys, size, block.rows, d_scores, 1, keys, block.query_rows(a.query), false, scale, true, d_key.data,
              d_key.stride);
  multiply<T>(keys, value_size, block.rows, weights, 1, keys, d_out, false, T(1), true, d_value.data, d_value.stride);
}

// All query heads that share one key head, so that dK and dV are summed in order.
template <typename T>
void backward_group(const AttentionArguments& arguments, int64_t sequence, int64_t key_head, const View& output,
                    const View& log_sum_exp, const View& d_output, const Gradients& d) {
  const int64_t group = arguments.query.size(1) / arguments.key.size(1);
  for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) {
    Block<T> block(arguments, sequence, head);
    if (head == key_head * group) {
      const Rows<T> d_key = block.key_rows(d.key);
      const Rows<T> d_value = block.key_rows(d.value);
      for (int64_t k = 0; k < block.keys; ++k) {
        std::fill_n(d_key.data + k * d_key.stride, arguments.key.size(2), T(0));
        std::fill_n(d_value.data + k * d_value.stride, arguments.value.size(2), T(0));
      }
    }
    for (; block.first < block.queries; block.first += kQueries) {
      block.rows = std::min(kQueries, block.queries - block.first);
      backward_block(block, output, log_sum_exp, d_output, d);
    }
  }
}

template <typename T>
void clear_bias(const View& d_bias) {
  for (int64_t i = 0; i < d_bias.size(0) * d_bias.size(1) * d_bias.size(2); ++i) {
    const int64_t row = i % d_bias.size(2);
    const int64_t head = i / d_bias.size(2) % d_bias.size(1);
    const int64_t sequence = i / d_bias.size(2) / d_bias.size(1);
    std::fill_n(d_bias.as<T>() + sequence * d_bias.stride(0) + head * d_bias.stride(1) + row * d_bias.stride(2),
                d_bias.size(3), T(0));
  }
}

template <typename T>
void backward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp, const View& d_output,
              const Gradients& d) {
  const int64_t sequences = arguments.query_segments.count();
  const int64_t key_heads = arguments.key.size(1);
  if (d.bias) clear_bias<T>(d.bias);
  // What shares an element of d_bias runs in order on one thread.
  const bool sequences_apart = !d.bias || d.bias.size(0) > 1;
  const bool heads_apart = !d.bias || d.bias.size(1) > 1;
  const int64_t outer_sequences = sequences_apart ? sequences : 1;
  const int64_t outer_heads = heads_apart ? key_heads : 1;
  parallel_for(outer_sequences * outer_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first_sequence = sequences_apart ? task / outer_heads : 0;
      const int64_t first_head = heads_apart ? task % outer_heads : 0;
      for (int64_t s = first_sequence; s < (sequences_apart ? first_sequence + 1 : sequences); ++s) {
        for (int64_t h = first_head; h < (heads_apart ? first_head + 1 : key_heads); ++h) {
          backward_group<T>(arguments, s, h, output, log_sum_exp, d_output, d);
        }
      }
    }
  });
}

}  // namespace
}  // namespace cpu

void CpuAttention::forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp) {
  if (arguments.query.dtype == DType::float32)
    return cpu::simd::attention_forward(arguments, output, log_sum_exp, arguments.product_dtype == DType::bfloat16);
  cpu::with_floating("attention.forward", arguments.query.dtype,
                     [&](auto tag) { cpu::forward<decltype(tag)>(arguments, output, log_sum_exp); });
}

void CpuAttention::backward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                            const View& d_output, const View& d_query, const View& d_key, const View& d_value,
                            const View& d_bias) {
  if (arguments.query.dtype == DType::float32 && !d_bias) {
    return cpu::simd::attention_backward(arguments, output, log_sum_exp, d_output, d_query, d_key, d_value);
  }
  cpu::with_floating("attention.backward", arguments.query.dtype, [&](auto tag) {
    cpu::backward<decltype(tag)>(arguments, output, log_sum_exp, d_output, {d_query, d_key, d_value, d_bias});
  });
}

}  // namespace mica
