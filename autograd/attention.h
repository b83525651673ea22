#pragma once
// Scaled dot-product attention over ragged batches, differentiable.

#include <span>
#include <vector>

#include "mica/base/recycled.h"
#include "mica/kernels/attention.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Where each sequence's rows lie, on the host and, for the kernels, on the device.
class SequenceOffsets {
 public:
  SequenceOffsets() = default;
  /// Offsets from lengths, each >= 0.
  static SequenceOffsets from_lengths(std::span<const int64_t> lengths, Device device = {});
  static SequenceOffsets from_lengths(const std::vector<int64_t>& lengths, Device device = {}) {
    return from_lengths(std::span<const int64_t>(lengths), device);
  }
  /// `count` sequences of `length` rows each.
  static SequenceOffsets uniform(int64_t count, int64_t length, Device device = {});
  /// Sequence i owns the rows [starts[i], starts[i] + lengths[i]), each >= 0, with gaps and in any order: the filled
  /// parts of a cache [batch, capacity, ...] of keys seen as rows.
  static SequenceOffsets with_lengths(std::span<const int64_t> starts, std::span<const int64_t> lengths,
                                      Device device = {});
  static SequenceOffsets with_lengths(const std::vector<int64_t>& starts, const std::vector<int64_t>& lengths,
                                      Device device = {}) {
    return with_lengths(std::span<const int64_t>(starts), std::span<const int64_t>(lengths), device);
  }

  /// The same of starts and lengths [count], int32, in a device's memory, which may change from call to call: kernels
  /// read these; `most` are what the lengths can be, and all that the host knows.
  static SequenceOffsets on_device(std::span<const int64_t> starts, std::span<const int64_t> most,
                                   const Tensor& device_starts, const Tensor& device_lengths);

  int64_t count() const { return segments_on_host().count(); }
  int64_t rows() const { return rows_; }  ///< up to the end of the last sequence
  int64_t begin(int64_t i) const { return segments_on_host().begin(i); }
  int64_t length(int64_t i) const { return segments_on_host().length(i); }
  int64_t longest() const { return longest_; }
  /// Whether there may be rows that no sequence owns.
  bool gaps() const { return !lengths_.empty(); }
  /// Whether two sequences own the same row.
  bool overlap() const;
  Segments segments() const;

 private:
  Segments segments_on_host() const { return {offsets_, offsets_.data(), lengths_, lengths_.data()}; }

  RecycledVector<int32_t> offsets_{0};
  RecycledVector<int32_t> lengths_;  // empty: from offset to offset
  Tensor device_, device_lengths_;
  int64_t rows_ = 0, longest_ = 0;
};

/// See AttentionArguments for what each does to the scores.
struct AttentionOptions {
  double scale = 1;
  bool causal = false;
  int64_t window = 0;   ///< how far back (and, not causal, ahead) a query sees; 0: all the way
  double softcap = 0;   ///< 0: none
  Tensor key_mask;      ///< bool [key_rows], false hides the key
  Tensor bias;          ///< [count or 1, heads or 1, queries or 1, keys], added to the scores; differentiable
  Tensor alibi_slopes;  ///< [heads], a constant: slope * (key - query) by their positions is added to the scores
  Tensor sinks;         ///< [heads], a score that takes weight and gives no value; differentiable
  double dropout = 0;
  DType product_dtype = DType::float32;  ///< of the products where no gradient is wanted
};

/// output [query_rows, heads, value_size] for query [query_rows, heads, head_size], key [key_rows, key_value_heads,
/// head_size] and value [key_rows, key_value_heads, value_size]; see kernels/attention.h for the formula. Where no
/// gradient is wanted, key and value may be of float16 or bfloat16 beside a query of float32. Rows of the operands that
/// no sequence owns are neither read nor given a gradient; such rows of the output are zero.
Tensor attention(const Tensor& query, const Tensor& key, const Tensor& value, const SequenceOffsets& query_offsets,
                 const SequenceOffsets& key_offsets, const AttentionOptions& options);

}  // namespace mica
