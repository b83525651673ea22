#include "mica/models/modules/positions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mica/autograd/embedding.h"
#include "mica/autograd/shape.h"

namespace mica {

Tensor positions_from_zero(const SequenceOffsets& offsets) {
  std::vector<int64_t> positions(static_cast<size_t>(offsets.rows()));
  for (int64_t s = 0; s < offsets.count(); ++s) {
    for (int64_t i = 0; i < offsets.length(s); ++i) positions[static_cast<size_t>(offsets.begin(s) + i)] = i;
  }
  return Tensor::from(positions);
}

Tensor positions_from_padding(const SequenceOffsets& offsets, const Tensor& input_ids, int64_t padding_idx) {
  const std::vector<int64_t> ids = input_ids.defined() ? input_ids.to_vector<int64_t>() : std::vector<int64_t>();
  std::vector<int64_t> positions(static_cast<size_t>(offsets.rows()));
  for (int64_t s = 0; s < offsets.count(); ++s) {
    int64_t counted = 0;
    for (int64_t i = offsets.begin(s); i < offsets.begin(s) + offsets.length(s); ++i) {
      const auto k = static_cast<size_t>(i);
      const bool is_padding = !ids.empty() && ids[k] == padding_idx;
      positions[k] = is_padding ? padding_idx : padding_idx + ++counted;
    }
  }
  return Tensor::from(positions);
}

Tensor relative_position_bias(const Tensor& table, int64_t length, int64_t max_distance) {
  const int64_t half = table.size(0) / 2;
  const int64_t exact = half / 2;
  const auto bucket = [&](int64_t distance) {  // key position - query position
    const int64_t n = std::abs(distance);
    int64_t index = n;
    if (n >= exact) {
      // In float, as the reference computes it: the last bit decides at bucket borders.
      const float ratio = std::log(static_cast<float>(n) / static_cast<float>(exact)) /
                          static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
      index = std::min(exact + static_cast<int64_t>(ratio * static_cast<float>(half - exact)), half - 1);
    }
    return index + (distance > 0 ? half : 0);
  };
  std::vector<int64_t> by_distance;
  for (int64_t distance = -(length - 1); distance < length; ++distance) by_distance.push_back(bucket(distance));
  std::vector<int64_t> ids;
  ids.reserve(static_cast<size_t>(length * length));
  for (int64_t q = 0; q < length; ++q) {
    for (int64_t k = 0; k < length; ++k) ids.push_back(by_distance[static_cast<size_t>(k - q + length - 1)]);
  }
  const Tensor values = embedding(table, Tensor::from(ids));  // [length * length, heads]
  return reshape(transpose(values, 0, 1), Shape{1, table.size(1), length, length});
}

Tensor prefix_mask(int64_t length, int64_t prefix, DType dtype, Device device) {
  std::vector<float> values(static_cast<size_t>(length * length), 0.0F);
  for (int64_t q = 0; q < length; ++q) {
    for (int64_t k = std::max(q + 1, prefix); k < length; ++k) {
      values[static_cast<size_t>(q * length + k)] = std::numeric_limits<float>::lowest();
    }
  }
  return Tensor::from(values, {1, 1, length, length}).to(dtype).to(device);
}

}  // namespace mica
