#pragma once
// Scaled dot-product attention over batches of sequences of unequal lengths.

#include <span>

#include "mica/kernels/backend.h"

namespace mica {

/// Where each sequence's rows lie in a [rows, ...] operand: sequence i owns the rows [offsets[i], offsets[i + 1]).
struct Segments {
  std::span<const int32_t> host;    ///< count + 1 entries, readable by the host
  const int32_t* device = nullptr;  ///< the same entries in device memory (the same pointer on a CPU)
  int64_t count() const { return static_cast<int64_t>(host.size()) - 1; }
};

struct AttentionArguments {
  View query;  ///< [query_rows, num_heads, head_size], head_size with stride 1; any row stride
  View key;    ///< [key_rows, num_key_value_heads, head_size]; num_heads is a multiple of num_key_value_heads
  View value;  ///< [key_rows, num_key_value_heads, head_size]
  Segments query_segments, key_segments;  ///< as many of each
  float scale = 1;
  bool causal = false;  ///< query i of a sequence sees the keys up to i + (keys - queries) of it
  View key_mask;        ///< bool [key_rows]: false hides the key; empty: all visible
  /// Added to scores: [count or 1, num_heads or 1, queries or 1, keys] (dtype of query; a size of 1 is broadcast, the
  /// last dimension has stride 1), indexed by position inside the sequence, so it must reach the longest one.
  View bias;
  float dropout = 0;  ///< probability of dropping an attention weight; kept ones are scaled by 1 / (1 - p)
  /// In which weights and values may be multiplied in the forward pass: float32, or bfloat16 where the device has it.
  DType product_dtype = DType::float32;
  uint64_t seed = 0;  ///< of the dropout: element (sequence, head, query, key) draws the same number on every device
};

class AttentionKernels {
 public:
  virtual ~AttentionKernels() = default;

  /// output[row, head, :] = sum_k softmax_k(scale * query · key_k + bias + mask) * value_k.
  /// A query that sees no key weighs all keys of its sequence equally, as adding the lowest float to every score does.
  /// log_sum_exp: [num_heads, query_rows] of the query's dtype, or empty when no backward pass will follow.
  virtual void forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp) = 0;

  /// Gradients of forward() for d_output [query_rows, num_heads, head_size]. With P the weights,
  ///   dV = Pᵀ dO,  dS = P * (dO Vᵀ - rowsum(dO * O)),  dQ = scale dS K,  dK = scale dSᵀ Q,  d_bias = sum of dS.
  /// d_query, d_key, d_value are written; d_bias (shape of bias, empty if not wanted) is written.
  virtual void backward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                        const View& d_output, const View& d_query, const View& d_key, const View& d_value,
                        const View& d_bias) = 0;
};

}  // namespace mica
