#include "mica/models/prefix.h"

#include <string>

#include "mica/autograd/shape.h"
#include "mica/base/error.h"

namespace mica {

std::vector<int64_t> rows_behind_prefix(const SequenceOffsets& sequences, int64_t length) {
  std::vector<int64_t> index;
  index.reserve(static_cast<size_t>(sequences.rows() + sequences.count() * length));
  for (int64_t s = 0; s < sequences.count(); ++s) {
    for (int64_t i = 0; i < length; ++i) index.push_back(i);
    for (int64_t i = 0; i < sequences.length(s); ++i) index.push_back(length + sequences.begin(s) + i);
  }
  return index;
}

SequenceOffsets lengths_with_prefix(const SequenceOffsets& sequences, int64_t length, Device device) {
  std::vector<int64_t> lengths;
  for (int64_t s = 0; s < sequences.count(); ++s) lengths.push_back(length + sequences.length(s));
  return SequenceOffsets::from_lengths(lengths, device);
}

std::vector<int64_t> filled_prefix(const std::vector<int64_t>& values, const SequenceOffsets& sequences, int64_t length,
                                   int64_t fill) {
  std::vector<int64_t> result;
  for (const int64_t row : rows_behind_prefix(sequences, length)) {
    result.push_back(row < length ? fill : values.at(static_cast<size_t>(row - length)));
  }
  return result;
}

PrefixedKeys::PrefixedKeys(const PrefixStates& states, const SequenceOffsets& sequences, const Tensor& key_mask,
                           Device device)
    : states_(states),
      offsets_(lengths_with_prefix(sequences, states.length, device)),
      index_(Tensor::from(rows_behind_prefix(sequences, states.length)).to(device)) {
  if (!key_mask.defined()) return;
  const std::vector<int64_t> shown = filled_prefix(key_mask.to_vector<int64_t>(), sequences, states.length, 1);
  key_mask_ = Tensor::from(shown).to(DType::boolean).to(device);
}

std::pair<Tensor, Tensor> PrefixedKeys::join(size_t layer, const Tensor& key, const Tensor& value) const {
  const auto& [first_key, first_value] = states_.key_values.at(layer);
  const auto behind = [&](const Tensor& prefix, const Tensor& rows) {
    const Shape shape{states_.length, rows.size(1), rows.size(2)};
    if (!(prefix.shape() == shape)) {
      throw Error("a prefix of shape " + to_string(prefix.shape()) + " before keys of shape " + to_string(rows.shape()),
                  "attention", "it must be [length, heads, head size] of this layer");
    }
    return index_select(cat({cast(prefix, rows.dtype()), rows}, 0), index_);
  };
  return {behind(first_key, key), behind(first_value, value)};
}

}  // namespace mica
