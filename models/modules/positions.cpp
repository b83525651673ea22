#include "mica/models/modules/positions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mica/autograd/embedding.h"
#include "mica/autograd/shape.h"
#include "mica/base/recycled.h"

namespace mica {

Tensor index_tensor(std::span<const int64_t> values) {
  const Tensor result = Tensor::empty({static_cast<int64_t>(values.size())}, DType::int64);
  std::copy(values.begin(), values.end(), result.data<int64_t>());
  return result;
}

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

Tensor relative_position_bias(const Tensor& table, int64_t first_query, int64_t queries, int64_t keys,
                              int64_t max_distance, bool bidirectional) {
  const int64_t side = bidirectional ? table.size(0) / 2 : table.size(0);
  const int64_t exact = side / 2;
  const auto bucket = [&](int64_t distance) {  // key position - query position
    const int64_t n = bidirectional ? std::abs(distance) : std::max<int64_t>(-distance, 0);
    int64_t index = n;
    if (n >= exact) {
      // In float, as the reference computes it: the last bit decides at bucket borders.
      const float ratio = std::log(static_cast<float>(n) / static_cast<float>(exact)) /
                          static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
      index = std::min(exact + static_cast<int64_t>(ratio * static_cast<float>(side - exact)), side - 1);
    }
    return index + (bidirectional && distance > 0 ? side : 0);
  };
  RecycledVector<int64_t> by_distance;  // from -(first_query + queries - 1) on
  const int64_t least = -(first_query + queries - 1);
  by_distance.reserve(static_cast<size_t>(keys - first_query - least));
  for (int64_t distance = least; distance < keys - first_query; ++distance) by_distance.push_back(bucket(distance));
  RecycledVector<int64_t> ids;
  ids.reserve(static_cast<size_t>(queries * keys));
  for (int64_t q = 0; q < queries; ++q) {
    for (int64_t k = 0; k < keys; ++k) ids.push_back(by_distance[static_cast<size_t>(k - first_query - q - least)]);
  }
  const Tensor values = embedding(table, index_tensor(ids));  // [queries * keys, heads]
  return reshape(transpose(values, 0, 1), Shape{1, table.size(1), queries, keys});
}

Tensor shift_distances(const Tensor& x) {
  const int64_t n = x.size(0);
  const int64_t queries = x.size(1);
  const int64_t width = x.size(2);
  // Row i begins width * i + queries - 1 - i elements in: with one column less, every row begins in the same place.
  const Tensor flat = reshape(x, Shape{n, queries * width});
  const Tensor rows = slice(flat, 1, queries - 1, queries - 1 + queries * (width - 1));
  return slice(reshape(rows, Shape{n, queries, width - 1}), 2, 0, width - queries);
}

Tensor sinusoidal_positions(std::span<const int64_t> positions, int64_t size, SinusoidKind kind, int64_t zero_position,
                            Device device) {
  const int64_t half = (size + 1) / 2;
  const int64_t cosines = size - half;
  std::vector<float> values(positions.size() * static_cast<size_t>(size), 0.0F);
  for (size_t row = 0; row < positions.size(); ++row) {
    if (positions[row] == zero_position) continue;
    float* out = values.data() + row * static_cast<size_t>(size);
    const auto position = static_cast<double>(positions[row]);
    for (int64_t i = 0; i < half; ++i) {
      const auto at = static_cast<double>(i);
      if (kind == SinusoidKind::halves) {
        const double angle = position / std::pow(10000.0, 2 * at / static_cast<double>(size));
        out[i] = static_cast<float>(std::sin(angle));
        if (i < cosines) out[half + i] = static_cast<float>(std::cos(angle));
      } else if (i < size / 2) {
        // In float, step by step as fairseq: a large position makes the frequency's last bit visible.
        const auto step = static_cast<float>(std::log(10000.0) / static_cast<double>(size / 2 - 1));
        const float angle = static_cast<float>(position) * std::exp(static_cast<float>(i) * -step);
        out[i] = std::sin(angle);
        out[size / 2 + i] = std::cos(angle);
      }
    }
  }
  return Tensor::from(values, {static_cast<int64_t>(positions.size()), size}).to(device);
}

std::vector<double> alibi_slopes(int64_t num_heads) {
  int64_t power = 1;
  while (2 * power <= num_heads) power *= 2;
  std::vector<double> slopes;
  for (int64_t i = 1; i <= power; ++i)
    slopes.push_back(std::exp2(-8.0 * static_cast<double>(i) / static_cast<double>(power)));
  for (int64_t i = 1; static_cast<int64_t>(slopes.size()) < num_heads; i += 2) {
    slopes.push_back(std::exp2(-4.0 * static_cast<double>(i) / static_cast<double>(power)));
  }
  return slopes;
}

std::vector<double> alibi_slopes_of_power(int64_t num_heads, double steepest) {
  int64_t power = 1;
  while (power < num_heads) power *= 2;
  const auto slope = [&](int64_t i) {
    return std::exp2(-static_cast<double>(i) * steepest / static_cast<double>(power));
  };
  std::vector<double> slopes;
  if (power == num_heads) {
    for (int64_t i = 1; i <= power; ++i) slopes.push_back(slope(i));
    return slopes;
  }
  for (int64_t i = 2; i <= power; i += 2) slopes.push_back(slope(i));
  for (int64_t i = 1; i <= power; i += 2) slopes.push_back(slope(i));
  slopes.resize(static_cast<size_t>(num_heads));
  return slopes;
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
