#include "mica/models/architectures/decoding.h"

#include <utility>

namespace mica {

DecodingState::DecodingState(KeyValueCache cache, CrossStates cross)
    : cache_(std::move(cache)), cross_(std::move(cross)) {
  for (int64_t i = 0; i < cross_->offsets.count(); ++i) {
    starts_.push_back(cross_->offsets.begin(i));
    lengths_.push_back(cross_->offsets.length(i));
  }
}

void DecodingState::reorder(std::span<const int64_t> rows) {
  cache_.reorder(rows);
  if (!cross_) return;
  std::vector<int64_t> starts;
  std::vector<int64_t> lengths;
  for (const int64_t row : rows) {
    starts.push_back(starts_[static_cast<size_t>(row)]);
    lengths.push_back(lengths_[static_cast<size_t>(row)]);
  }
  starts_ = std::move(starts);
  lengths_ = std::move(lengths);
  const Device device = cross_->key_values.empty() ? Device{} : cross_->key_values[0].first.device();
  cross_->offsets = SequenceOffsets::with_lengths(starts_, lengths_, device);
}

}  // namespace mica
