#pragma once
// Scaled dot-product attention over ragged batches, differentiable.

#include <vector>

#include "mica/kernels/attention.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Where each sequence's rows lie: offsets on the host and, for the kernels, on the device.
class SequenceOffsets {
 public:
  SequenceOffsets() = default;
  /// Offsets from lengths, each >= 0.
  static SequenceOffsets from_lengths(const std::vector<int64_t>& lengths, Device device = {});
  /// `count` sequences of `length` rows each.
  static SequenceOffsets uniform(int64_t count, int64_t length, Device device = {});

  int64_t count() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  int64_t rows() const { return offsets_.empty() ? 0 : offsets_.back(); }
  int64_t begin(int64_t i) const { return offsets_[static_cast<size_t>(i)]; }
  int64_t length(int64_t i) const { return offsets_[static_cast<size_t>(i) + 1] - offsets_[static_cast<size_t>(i)]; }
  int64_t longest() const { return longest_; }
  Segments segments() const;

 private:
  std::vector<int32_t> offsets_{0};
  Tensor device_;
  int64_t longest_ = 0;
};

struct AttentionOptions {
  double scale = 1;
  bool causal = false;
  Tensor key_mask;  ///< bool [key_rows], false hides the key
  Tensor bias;      ///< [count or 1, heads or 1, queries or 1, keys], added to the scores; differentiable
  double dropout = 0;
  DType product_dtype = DType::float32;  ///< of the products where no gradient is wanted
};

/// output[row, head, :] for query [query_rows, heads, head_size], key and value [key_rows, key_value_heads, head_size];
/// see kernels/attention.h for the formula.
Tensor attention(const Tensor& query, const Tensor& key, const Tensor& value, const SequenceOffsets& query_offsets,
                 const SequenceOffsets& key_offsets, const AttentionOptions& options);

}  // namespace mica
