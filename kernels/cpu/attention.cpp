// Attention in its plain form; float32 goes through the SIMD kernels, but for gradients of the bias. One (sequence,
// head) at a time and a block of its queries at once: the scores of the block in full, softmax, product with the
// values. The backward pass makes the weights again from the scores.

#include "mica/kernels/attention.h"

#include "mica/kernels/cpu/attention_scores.h"
#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/simd/attention.h"
#include "mica/kernels/cpu/simd/attention_stream.h"

namespace mica {
namespace cpu {
namespace {

constexpr int64_t kQueries = 64;  // of a block

template <typename T>
void forward_block(const Block<T>& block, const View& output, const View& log_sum_exp) {
  const AttentionArguments& a = block.arguments;
  T* scores = scratch<T>(Scratch::scores, block.rows * block.keys);
  T* factors = scratch<T>(Scratch::row, block.keys);
  make_scores<T>(block, scores, nullptr);
  const T* sink = block.of_head(a.sinks);
  for (int64_t r = 0; r < block.rows; ++r) {
    T* row = scores + r * block.keys;
    const T total = softmax_row(row, block.keys, sink);
    if (log_sum_exp) block.total(log_sum_exp, r) = total;
    if (a.dropout > 0) {
      dropout_row(block, block.first + r, factors);
      for (int64_t k = 0; k < block.keys; ++k) row[k] *= factors[k];
    }
  }
  const Rows<T> out = block.query_rows(output);
  multiply<T>(block.rows, a.value.size(2), block.keys, scores, block.keys, 1, block.any_key_rows(a.value), false, T(1),
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
void backward_block(const Block<T>& block, const View& output, const View& d_output, const Gradients& d) {
  const AttentionArguments& a = block.arguments;
  const int64_t keys = block.keys;
  const int64_t value_size = a.value.size(2);
  T* weights = scratch<T>(Scratch::scores, block.rows * keys);
  T* d_scores = scratch<T>(Scratch::score_gradients, block.rows * keys);
  T* factors = scratch<T>(Scratch::row, keys);
  T* slopes = a.softcap > 0 ? scratch<T>(Scratch::score_slopes, block.rows * keys) : nullptr;
  const Rows<T> d_out = block.query_rows(d_output);
  const Rows<T> out = block.query_rows(output);

  const T* sink = block.of_head(a.sinks);
  make_scores(block, weights, slopes);
  multiply<T>(block.rows, keys, value_size, d_out.data, d_out.stride, 1, block.any_key_rows(a.value), true, T(1), false,
              d_scores, keys);
  for (int64_t r = 0; r < block.rows; ++r) {
    T* p = weights + r * keys;
    T* ds = d_scores + r * keys;
    const int64_t query = block.first + r;
    // Not from the log sum exp: beside scores as large as a mask's it has no room for the logarithm of the sum.
    softmax_row(p, keys, sink);
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
    if (slopes != nullptr) {
      for (int64_t k = 0; k < keys; ++k) ds[k] *= slopes[r * keys + k];
    }
  }

  const auto scale = static_cast<T>(a.scale);
  const int64_t size = a.query.size(2);
  const Rows<T> d_query = block.query_rows(d.query);
  const Rows<T> d_key = block.key_rows(d.key);
  const Rows<T> d_value = block.key_rows(d.value);
  multiply<T>(block.rows, size, keys, d_scores, keys, 1, block.any_key_rows(a.key), false, scale, false, d_query.data,
              d_query.stride);
  multiply<T>(keys, size, block.rows, d_scores, 1, keys, block.any_query_rows(a.query), false, scale, true, d_key.data,
              d_key.stride);
  multiply<T>(keys, value_size, block.rows, weights, 1, keys, block.any_query_rows(d_output), false, T(1), true,
              d_value.data, d_value.stride);
}

// All query heads that share one key head, so that dK and dV are summed in order.
template <typename T>
void backward_group(const AttentionArguments& arguments, int64_t sequence, int64_t key_head, const View& output,
                    const View& d_output, const Gradients& d) {
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
      backward_block(block, output, d_output, d);
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

// d_sinks[head] = - sum over all queries of P_sink * rowsum(dO * O).
template <typename T>
void sink_gradients(const AttentionArguments& a, const View& output, const View& log_sum_exp, const View& d_output,
                    const View& d_sinks) {
  const int64_t size = a.value.size(2);
  parallel_for(a.query.size(1), 1, [&](int64_t begin, int64_t end) {
    for (int64_t head = begin; head < end; ++head) {
      double sum = 0;
      for (int64_t s = 0; s < a.query_segments.count(); ++s) {
        const Block<T> block(a, s, head);
        const Rows<T> out = block.query_rows(output), d_out = block.query_rows(d_output);
        const T sink = *block.of_head(a.sinks);
        if (sink == -std::numeric_limits<T>::infinity()) continue;
        for (int64_t q = 0; q < block.queries; ++q) {
          const T* x = out.data + q * out.stride;
          const T* y = d_out.data + q * d_out.stride;
          const double total =
              sum_of(size, [&](int64_t i) { return static_cast<double>(x[i]) * static_cast<double>(y[i]); });
          sum -= static_cast<double>(std::exp(sink - block.total(log_sum_exp, q))) * total;
        }
      }
      d_sinks.as<T>()[head * d_sinks.stride(0)] = static_cast<T>(sum);
    }
  });
}

template <typename T>
void backward(const AttentionArguments& arguments, const View& output, const View& d_output, const Gradients& d) {
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
          backward_group<T>(arguments, s, h, output, d_output, d);
        }
      }
    }
  });
}

}  // namespace
}  // namespace cpu

void CpuAttention::forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp) {
  if (arguments.query.dtype == DType::float32 && cpu::simd::can_stream(arguments.key.dtype) &&
      arguments.key.dtype == arguments.value.dtype) {
    return cpu::simd::attention_forward(arguments, output, log_sum_exp, arguments.product_dtype == DType::bfloat16);
  }
  cpu::with_floating("attention.forward", arguments.query.dtype,
                     [&](auto tag) { cpu::forward<decltype(tag)>(arguments, output, log_sum_exp); });
}

void CpuAttention::backward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                            const View& d_output, const View& d_query, const View& d_key, const View& d_value,
                            const View& d_bias, const View& d_sinks) {
  const DType dtype = arguments.query.dtype;
  for (const View* view : {&arguments.key, &arguments.value}) {
    if (view->dtype != dtype) unsupported("attention.backward", view->dtype, Device{});
  }
  cpu::with_floating("attention.backward", dtype, [&](auto tag) {
    using T = decltype(tag);
    if (d_sinks) cpu::sink_gradients<T>(arguments, output, log_sum_exp, d_output, d_sinks);
    if (dtype == DType::float32 && !d_bias) {
      return cpu::simd::attention_backward(arguments, output, log_sum_exp, d_output, d_query, d_key, d_value);
    }
    cpu::backward<T>(arguments, output, d_output, {d_query, d_key, d_value, d_bias});
  });
}

}  // namespace mica
