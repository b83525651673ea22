#pragma once
// Scaled dot-product attention over batches of sequences of unequal lengths.

#include <span>

#include "mica/kernels/backend.h"

namespace mica {

/// Where each sequence's rows lie in a [rows, ...] operand. Sequence i owns the rows [host[i], host[i + 1]); or, with
/// lengths, the rows [host[i], host[i] + lengths[i]), so that there may be gaps, as a cache of keys has, and any order.
struct Segments {
  std::span<const int32_t> host;          ///< count + 1 entries, or count with lengths; readable by the host
  const int32_t* device = nullptr;        ///< the same entries in device memory (the same pointer on a CPU)
  std::span<const int32_t> lengths = {};  ///< empty: each sequence reaches to the next one's first row
  /// The same entries in device memory; of keys they may be smaller, when a kernel reads them: the host's then bound
  /// them, and the work's size is theirs (recorded steps, whose texts grow).
  const int32_t* device_lengths = nullptr;

  int64_t count() const { return static_cast<int64_t>(lengths.empty() ? host.size() - 1 : lengths.size()); }
  int64_t begin(int64_t i) const { return host[static_cast<size_t>(i)]; }
  int64_t length(int64_t i) const {
    const auto at = static_cast<size_t>(i);
    return lengths.empty() ? host[at + 1] - host[at] : lengths[at];
  }
};

/// Query i of a sequence stands at position p = i + (keys - queries) of it: the last query beside the last key.
struct AttentionArguments {
  View query;  ///< [query_rows, num_heads, head_size], head_size with stride 1; any row stride
  /// [key_rows, num_key_value_heads, head_size]; num_heads is a multiple of num_key_value_heads. Keys and values have
  /// the query's dtype; in the forward pass they may be of float16 or bfloat16 all the same, as a cache keeps them.
  View key;
  View value;                             ///< [key_rows, num_key_value_heads, value_size]
  Segments query_segments, key_segments;  ///< as many of each
  float scale = 1;
  bool causal = false;  ///< the query at position p sees the keys up to p
  /// 0: none. Causal: the query at position p sees the keys k with 0 <= p - k < window, else those with
  /// |p - k| <= window.
  int64_t window = 0;
  /// 0: none, else scores become softcap * tanh(scale * score / softcap), before anything is added to them.
  float softcap = 0;
  View key_mask;  ///< bool [key_rows]: false hides the key; empty: all visible
  /// Added to scores: [count or 1, num_heads or 1, queries or 1, keys] (dtype of query; a size of 1 is broadcast, the
  /// last dimension has stride 1), indexed by position inside the sequence, so it must reach the longest one.
  View bias;
  View alibi_slopes;  ///< [num_heads], dtype of query: slope * (k - p) is added to the score of key k
  View sinks;         ///< [num_heads], dtype of query: a score that joins the softmax but weighs no value
  float dropout = 0;  ///< probability of dropping an attention weight; kept ones are scaled by 1 / (1 - p)
  /// In which weights and values may be multiplied in the forward pass: float32, or bfloat16 where the device has it.
  DType product_dtype = DType::float32;
  uint64_t seed = 0;  ///< of the dropout: element (sequence, head, query, key) draws the same number on every device
};

class AttentionKernels {
 public:
  virtual ~AttentionKernels() = default;

  /// output[row, head, :] = sum_k softmax_k(cap(scale * query · key_k) + bias + slope * (k - p) + mask) * value_k,
  /// with output [query_rows, num_heads, value_size]. Rows that no sequence owns are not written.
  /// A query that sees no key weighs all keys of its sequence equally, as adding the lowest float to every score does;
  /// with sinks its output is zero.
  /// log_sum_exp: [num_heads, query_rows] of the query's dtype, or empty when no backward pass will follow.
  virtual void forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp) = 0;

  /// Gradients of forward() for d_output [query_rows, num_heads, value_size]. With P the weights, s the scores before
  /// softcap and t after,
  ///   dV = Pᵀ dO,  dT = P * (dO Vᵀ - rowsum(dO * O)),  dS = dT * (1 - (t / softcap)²),  dQ = scale dS K,
  ///   dK = scale dSᵀ Q,  d_bias = sum of dT,  d_sinks = - sum of P_sink * rowsum(dO * O).
  /// d_query, d_key, d_value are written, in the rows that a sequence owns (no two may own the same one); d_bias and
  /// d_sinks (shape of bias and sinks, empty if not wanted) are written.
  virtual void backward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                        const View& d_output, const View& d_query, const View& d_key, const View& d_value,
                        const View& d_bias, const View& d_sinks) = 0;
};

}  // namespace mica
