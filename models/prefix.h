#pragma once
// A prefix: keys and values that every text's queries see before its own, as if a cache had them. Li and Liang 2021.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "mica/autograd/attention.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Of every layer, [length, heads, head size]; the same for all texts of a batch.
struct PrefixStates {
  int64_t length = 0;
  std::vector<std::pair<Tensor, Tensor>> key_values;
};

/// Rows of cat({prefix, rows}) that put `length` rows of a prefix before each sequence.
std::vector<int64_t> rows_behind_prefix(const SequenceOffsets& sequences, int64_t length);
/// As long as these, and the prefix.
SequenceOffsets lengths_with_prefix(const SequenceOffsets& sequences, int64_t length, Device device);
/// values [rows] with `fill` before each sequence, int64 on the host.
std::vector<int64_t> filled_prefix(const std::vector<int64_t>& values, const SequenceOffsets& sequences, int64_t length,
                                   int64_t fill);

/// The keys of a call's sequences behind a prefix.
class PrefixedKeys {
 public:
  /// `key_mask`: bool [rows] of the sequences, undefined: all visible. The prefix always is.
  PrefixedKeys(const PrefixStates& states, const SequenceOffsets& sequences, const Tensor& key_mask, Device device);

  /// A layer's keys and values [rows, heads, size] with the prefix before each sequence; differentiable.
  std::pair<Tensor, Tensor> join(size_t layer, const Tensor& key, const Tensor& value) const;
  const SequenceOffsets& offsets() const { return offsets_; }
  const Tensor& key_mask() const { return key_mask_; }
  int64_t length() const { return states_.length; }

 private:
  PrefixStates states_;
  SequenceOffsets offsets_;
  Tensor key_mask_, index_;
};

}  // namespace mica
