#include "mica/models/modules/relative_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "mica/autograd/attention.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/random.h"
#include "mica/autograd/shape.h"
#include "mica/models/modules/pair_scores.h"
#include "mica/models/modules/positions.h"

namespace mica {
namespace {

constexpr int64_t kNoPosition = std::numeric_limits<int64_t>::min();

}  // namespace

// What the layers of one call share.
struct RelativeAttention::Call {
  const Rows* rows;
  Places places;
  Tensor sines;     // [2 * longest, hidden_size], of the distances
  Tensor segments;  // [count, longest, longest], 1 where two tokens have different types; undefined: no types given
  Tensor mask;      // [count, 1, longest, longest], the lowest number where a token would see another hidden one
};

RelativeAttention::RelativeAttention(const Scope& scope, const std::vector<std::string>& layers, int64_t hidden_size,
                                     RelativeAttentionSpec spec)
    : spec_(std::move(spec)), hidden_size_(hidden_size), product_dtype_(scope.options().dtype) {
  for (const std::string& name : layers) {
    const Scope module = scope / name / spec_.module;
    const auto projection = [&](const char* part) {
      return module.weight(part, {hidden_size, spec_.num_heads, spec_.head_size});
    };
    const auto bias = [&](const char* part) { return module.weight(part, {spec_.num_heads, spec_.head_size}); };
    layers_.push_back({.query = projection("q"),
                       .key = projection("k"),
                       .value = projection("v"),
                       .position = projection("r"),
                       .output = projection("o"),
                       .content_bias = bias("r_w_bias"),
                       .position_bias = bias("r_r_bias"),
                       .segment_bias = bias("r_s_bias"),
                       .segment = module.weight("seg_embed", {2, spec_.num_heads, spec_.head_size})});
  }
}

// Sines [count, hidden_size] of the distances first, first - 1, ...
Tensor RelativeAttention::sines(int64_t first, int64_t count, Device device) const {
  std::vector<int64_t> distances;
  for (int64_t j = 0; j < count; ++j) {
    distances.push_back(spec_.furthest > 0 ? std::clamp(first - j, -spec_.furthest, spec_.furthest) : first - j);
  }
  return sinusoidal_positions(distances, hidden_size_, SinusoidKind::halves, kNoPosition, device);
}

// x [rows, hidden_size] by heads.
Tensor RelativeAttention::project(const Tensor& x, const Tensor& weight) const {
  const int64_t width = spec_.num_heads * spec_.head_size;
  return split_heads(matmul(x, cast(reshape(weight, Shape{hidden_size_, width}), x.dtype())),
                     Shape{x.size(0), spec_.num_heads, spec_.head_size});
}

Tensor RelativeAttention::project_out(const Tensor& mixed, const Layer& layer) const {
  const int64_t width = spec_.num_heads * spec_.head_size;
  return linear(reshape(mixed, Shape{mixed.size(0), width}), reshape(layer.output, Shape{hidden_size_, width}));
}

LayerMixer RelativeAttention::start(const Rows& rows) const {
  auto call = std::make_shared<Call>(Call{.rows = &rows, .places = Places(rows)});
  const int64_t count = call->places.count();
  const int64_t longest = call->places.longest();
  call->sines = dropout(sines(distance_of(0, longest), 2 * longest, rows.device), rows.training ? spec_.dropout : 0);
  // value(s, i, k) of every pair of places of a sequence.
  const auto by_pair = [&](const auto& value) {
    std::vector<float> pairs(static_cast<size_t>(count * longest * longest));
    for (int64_t at = 0; at < count * longest; ++at) {
      for (int64_t k = 0; k < longest; ++k) {
        pairs[static_cast<size_t>(at * longest + k)] =
            value(static_cast<size_t>(at), static_cast<size_t>(at / longest * longest + k));
      }
    }
    return pairs;
  };
  if (rows.token_type_ids.defined()) {
    const std::vector<int64_t> types = call->places.lay_out(rows.token_type_ids.to_vector<int64_t>(), int64_t{0});
    const std::vector<float> differ = by_pair([&](size_t i, size_t k) { return types[i] != types[k] ? 1.0F : 0.0F; });
    call->segments = Tensor::from(differ, {count, longest, longest}).to(rows.device);
  }
  if (rows.key_mask.defined()) {
    // A hidden token still sees itself.
    const std::vector<uint8_t> shown = call->places.lay_out(rows.shown.to_vector<uint8_t>(), uint8_t{0});
    const std::vector<float> mask = by_pair(
        [&](size_t i, size_t k) { return shown[k] == 0 && i != k ? std::numeric_limits<float>::lowest() : 0.0F; });
    call->mask = Tensor::from(mask, {count, 1, longest, longest}).to(rows.device);
  }
  return [this, call](size_t layer, const Tensor& x) { return mix(layers_[layer], x, *call); };
}

Tensor RelativeAttention::mix(const Layer& layer, const Tensor& x, const Call& call) const {
  const Rows& rows = *call.rows;
  const int64_t heads = spec_.num_heads;
  const int64_t size = spec_.head_size;
  const double scale = 1 / std::sqrt(static_cast<double>(size));
  const Tensor query = project(x, layer.query);
  const Tensor positions = transpose(project(cast(call.sines, x.dtype()), layer.position), 0, 1);
  Tensor scores = distance_scores(add(query, cast(layer.position_bias, x.dtype())), positions, call.places);
  if (call.segments.defined()) {
    const Tensor by_head = transpose(call.places.lay_out(add(query, cast(layer.segment_bias, x.dtype()))), 0, 1);
    const Tensor both =
        matmul(by_head, transpose(cast(layer.segment, x.dtype()), 0, 1), false, true);  // [heads, places, 2]
    const Shape by_place{heads, call.places.count(), call.places.longest(), 1};
    const Tensor same = reshape(slice(both, 2, 0, 1), by_place);
    const Tensor other = reshape(slice(both, 2, 1, 2), by_place);
    scores = add(add(scores, same), multiply(subtract(other, same), call.segments.to(x.dtype())));
  }
  scores = transpose(affine(scores, scale), 0, 1);  // [count, heads, longest, longest]
  if (call.mask.defined()) scores = add(scores, call.mask.to(x.dtype()));
  const AttentionOptions options{.scale = scale,
                                 .causal = spec_.causal,
                                 .bias = scores,
                                 .dropout = rows.training ? spec_.dropout : 0,
                                 .product_dtype = product_dtype_};
  const Tensor mixed = attention(add(query, cast(layer.content_bias, x.dtype())), project(x, layer.key),
                                 project(x, layer.value), rows.offsets, rows.offsets, options);
  return project_out(mixed, layer);
}

Tensor RelativeAttention::mix_next(size_t index, const Tensor& x, const Tensor& keys) const {
  const Layer& layer = layers_[index];
  const int64_t queries = x.size(0);
  const int64_t count = keys.size(0);
  const double scale = 1 / std::sqrt(static_cast<double>(spec_.head_size));
  const Tensor query = project(x, layer.query);
  // The last query stands behind the last key, at place `count`.
  const Tensor positions = project(sines(count, queries + count, x.device()).to(x.dtype()), layer.position);
  const Tensor by_distance = matmul(transpose(add(query, cast(layer.position_bias, x.dtype())), 0, 1),
                                    transpose(positions, 0, 1), false, true);
  Tensor scores = reshape(affine(shift_distances(by_distance), scale), Shape{1, spec_.num_heads, queries, count});
  if (spec_.causal) {
    std::vector<float> later(static_cast<size_t>(queries * count), 0.0F);
    for (int64_t i = 0; i < queries; ++i) {
      for (int64_t k = count - queries + 2 + i; k < count; ++k) {
        later[static_cast<size_t>(i * count + k)] = std::numeric_limits<float>::lowest();
      }
    }
    scores = add(scores, Tensor::from(later, {1, 1, queries, count}).to(x.dtype()).to(x.device()));
  }
  const AttentionOptions options{.scale = scale, .bias = scores, .product_dtype = product_dtype_};
  const Tensor mixed = attention(add(query, cast(layer.content_bias, x.dtype())), project(keys, layer.key),
                                 project(keys, layer.value), SequenceOffsets::uniform(1, queries, x.device()),
                                 SequenceOffsets::uniform(1, count, x.device()), options);
  return project_out(mixed, layer);
}

}  // namespace mica
