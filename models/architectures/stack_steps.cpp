// What a stack makes of its rows' positions: on the host, or, for steps that are recorded, by looking them up on the
// device.

#include <algorithm>
#include <numeric>
#include <utility>

#include "mica/autograd/embedding.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/architectures/stack.h"
#include "mica/models/modules/positions.h"

namespace mica {

// What is added to the rows' embeddings; undefined: nothing is.
Tensor Stack::embed_positions(const Rows& rows, std::span<const int64_t> positions) const {
  if (position_table_.defined()) {
    if (on_device(rows)) {
      const bool are_rows = spec_.position_rule == PositionRule::from_padding;
      const int64_t first = are_rows ? 0 : spec_.position_offset;
      return embedding(slice(position_table_, 0, first, position_table_.size(0)), rows.position_ids);
    }
    const Tensor index = index_tensor(position_rows(rows, positions));
    return embedding(position_table_, index, spec_.position_padding_idx);
  }
  if (spec_.positions != PositionTable::sinusoidal) return {};
  return sinusoidal_positions(position_rows(rows, positions), spec_.hidden_size, spec_.sinusoid,
                              spec_.position_padding_idx, rows.device);
}

RecycledVector<RotaryAngles> Stack::angles(const Rows& rows, std::span<const int64_t> positions, DType dtype,
                                           const StepTables* tables) const {
  RecycledVector<RotaryAngles> result;
  if (on_device(rows) && tables == nullptr) {
    throw Error("positions on a device", "stack", "make step_tables() for them, or keep them on the host");
  }
  for (size_t i = 0; i < rotary_.size(); ++i) {
    if (on_device(rows)) {
      const Tensor both = embedding(tables->rotary[i], rows.position_ids).to(dtype);
      const int64_t half = both.size(1) / 2;
      result.push_back({slice(both, 1, 0, half), slice(both, 1, half, 2 * half)});
      continue;
    }
    const RotaryAngles made = rotary_[i].angles(positions, rows.device);
    result.push_back({made.cos.to(dtype), made.sin.to(dtype)});
  }
  return result;
}

std::optional<StepTables> Stack::step_tables(int64_t positions, Device device) const {
  // Sines of positions, buckets of distances and the share of masked words are the host's.
  const bool of_host = spec_.positions == PositionTable::sinusoidal || types_.defined() || spec_.zeroed_token_id >= 0 ||
                       attention_ != nullptr;
  const bool simple = std::all_of(layers_.begin(), layers_.end(), [device](const Layer& each) {
    const bool routed = each.experts.defined() && !each.experts.stays_on(device);  // by the host
    return !routed && !each.cross && !each.attention.relative_table().defined();
  });
  const bool fixed =
      std::all_of(rotary_.begin(), rotary_.end(), [&](const Rotary& each) { return each.fixed(positions); });
  if (of_host || !simple || !fixed) return std::nullopt;
  StepTables tables;
  std::vector<int64_t> all(static_cast<size_t>(positions));
  std::iota(all.begin(), all.end(), 0);
  for (const Rotary& each : rotary_) {
    const RotaryAngles angles = each.angles(all, device);
    tables.rotary.push_back(cat({angles.cos, angles.sin}, 1));
  }
  return tables;
}

}  // namespace mica
