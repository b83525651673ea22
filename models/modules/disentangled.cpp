#include "mica/models/modules/disentangled.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "mica/autograd/attention.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/random.h"
#include "mica/autograd/shape.h"
#include "mica/models/modules/pair_scores.h"

namespace mica {
namespace {

// Distances up to half of the buckets keep their number; the sign stays. In float, as the tables were trained: the last
// bit decides at the borders of buckets.
int64_t bucket_of(int64_t distance, int64_t buckets, int64_t max_distance) {
  const int64_t middle = buckets / 2;
  const int64_t size = std::abs(distance);
  if (size <= middle) return distance;
  const float reach = std::log(static_cast<float>(static_cast<double>(max_distance - 1) / static_cast<double>(middle)));
  const float share = std::log(static_cast<float>(size) / static_cast<float>(middle)) / reach;
  const auto bucket = static_cast<int64_t>(std::ceil(share * static_cast<float>(middle - 1))) + middle;
  return distance < 0 ? -bucket : bucket;
}

}  // namespace

// What the layers of one call share.
struct DisentangledAttention::Call {
  const Rows* rows;
  Tensor table;                   // [2 * span, hidden_size]
  Tensor key_index, query_index;  // rows of the table, see distance_of()
  Places places;
  Tensor visible, visible_places;  // 1 for a token that is not hidden: [rows, 1, 1] and [count, 1, longest, 1]
  Tensor mask;  // [count, 1, longest, longest], the lowest number where a token would see a hidden one
};

DisentangledAttention::DisentangledAttention(const Scope& scope, const std::vector<std::string>& layers,
                                             int64_t hidden_size, DisentangledSpec spec)
    : spec_(std::move(spec)),
      head_size_(hidden_size / spec_.num_heads),
      scale_(1 / std::sqrt(static_cast<double>(head_size_ * spec_.terms))),
      product_dtype_(scope.options().dtype) {
  if (spec_.span > 0) {
    table_ = (scope / spec_.table).weight("weight", {2 * spec_.span, hidden_size});
    if (spec_.normalised_table) table_norm_ = Norm(scope / spec_.table_norm, hidden_size, spec_.norm);
  }
  for (const std::string& name : layers) {
    const Scope module = scope / name / spec_.module;
    Layer layer;
    if (spec_.fused) {
      layer.fused = Linear(module / "in_proj", hidden_size, 3 * hidden_size, false);
      layer.query_bias = module.zeros("q_bias", {hidden_size});
      layer.value_bias = module.zeros("v_bias", {hidden_size});
    } else {
      layer.query = Linear(module / "query_proj", hidden_size, hidden_size);
      layer.key = Linear(module / "key_proj", hidden_size, hidden_size);
      layer.value = Linear(module / "value_proj", hidden_size, hidden_size);
      layer.separate = LinearGroup({layer.query, layer.key, layer.value}, scope.options());
    }
    if (spec_.span > 0 && spec_.shared_projections) {
      layer.position_key = layer.key;
      layer.position_query = layer.query;
    } else if (spec_.span > 0) {
      if (spec_.content_to_position) {
        layer.position_key = Linear(module / spec_.position_key, hidden_size, hidden_size, spec_.position_key_bias);
      }
      if (spec_.position_to_content)
        layer.position_query = Linear(module / spec_.position_query, hidden_size, hidden_size);
    }
    layers_.push_back(std::move(layer));
  }
}

LayerMixer DisentangledAttention::start(const Rows& rows) const {
  auto call = std::make_shared<Call>(Call{.rows = &rows, .places = Places(rows)});
  const int64_t count = call->places.count();
  const int64_t longest = call->places.longest();
  if (spec_.span > 0) {
    std::vector<int64_t> by_key, by_query;
    for (int64_t j = 0; j < 2 * longest; ++j) {
      const auto row = [&](int64_t distance) {
        if (spec_.buckets > 0) distance = bucket_of(distance, spec_.buckets, spec_.max_distance);
        return std::clamp<int64_t>(distance + spec_.span, 0, 2 * spec_.span - 1);
      };
      by_key.push_back(row(distance_of(j, longest)));
      by_query.push_back(row(-distance_of(j, longest)));
    }
    call->key_index = Tensor::from(by_key).to(rows.device);
    call->query_index = Tensor::from(by_query).to(rows.device);
    call->table = table_norm_.defined() ? table_norm_(table_) : table_;
  }
  if (rows.key_mask.defined()) {
    // A hidden token sees nothing, and so weighs all tokens equally: its scores are zero, and pass no gradient.
    const std::vector<uint8_t> shown = rows.shown.to_vector<uint8_t>();
    const std::vector<float> visible(shown.begin(), shown.end());
    const std::vector<float> by_place = call->places.lay_out(visible, 0.0F);
    std::vector<float> mask(static_cast<size_t>(count * longest * longest), 0.0F);
    for (int64_t query = 0; query < count * longest; ++query) {
      const int64_t first = query / longest * longest;
      for (int64_t k = 0; k < longest; ++k) {
        if (by_place[static_cast<size_t>(query)] != 0 && by_place[static_cast<size_t>(first + k)] == 0) {
          mask[static_cast<size_t>(query * longest + k)] = std::numeric_limits<float>::lowest();
        }
      }
    }
    call->visible = Tensor::from(visible, {rows.rows(), 1, 1}).to(rows.device);
    call->visible_places = Tensor::from(by_place, {count, 1, longest, 1}).to(rows.device);
    call->mask = Tensor::from(mask, {count, 1, longest, longest}).to(rows.device);
  }
  return [this, call](size_t layer, const Tensor& x) { return mix(layers_[layer], x, *call); };
}

// The projected distances by heads, [heads, 2 * longest, head_size].
Tensor DisentangledAttention::position_heads(const Linear& projection, const Tensor& table, const Tensor& index,
                                             bool training) const {
  const Tensor x = dropout(table, training ? spec_.table_dropout : 0);
  // Short texts meet few of the distances; long ones repeat those at the ends.
  const bool few = index.numel() < x.size(0);
  const Tensor projected = few ? projection(index_select(x, index)) : index_select(projection(x), index);
  return transpose(split_heads(projected, Shape{index.numel(), spec_.num_heads, head_size_}), 0, 1);
}

// The scores of content and distances, [count, heads, longest, longest].
Tensor DisentangledAttention::bias(const Layer& layer, const Tensor& query, const Tensor& key, const Call& call) const {
  const bool training = call.rows->training;
  Tensor sum;
  if (spec_.content_to_position) {
    sum = distance_scores(query, position_heads(layer.position_key, call.table, call.key_index, training), call.places);
  }
  if (spec_.position_to_content) {
    const Tensor by_key =
        distance_scores(key, position_heads(layer.position_query, call.table, call.query_index, training), call.places);
    const Tensor by_query = transpose(by_key, 2, 3);
    sum = sum.defined() ? add(sum, by_query) : by_query;
  }
  if (!sum.defined()) return {};
  return transpose(affine(sum, scale_), 0, 1);
}

Tensor DisentangledAttention::mix(const Layer& layer, const Tensor& x, const Call& call) const {
  const Rows& rows = *call.rows;
  const Shape by_head{rows.rows(), spec_.num_heads, head_size_};
  std::array<Tensor, 3> parts;
  if (spec_.fused) {
    const Tensor all = reshape(layer.fused(x), Shape{rows.rows(), spec_.num_heads, 3 * head_size_});
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto begin = static_cast<int64_t>(i) * head_size_;
      parts[i] = slice(all, 2, begin, begin + head_size_);
    }
    const Shape bias_shape{spec_.num_heads, head_size_};
    parts[0] = add(parts[0], cast(reshape(layer.query_bias, bias_shape), x.dtype()));
    parts[2] = add(parts[2], cast(reshape(layer.value_bias, bias_shape), x.dtype()));
  } else {
    parts = layer.separate(x);
    for (Tensor& part : parts) part = split_heads(part, by_head);
  }
  Tensor& query = parts[0];
  if (call.visible.defined()) query = multiply(query, call.visible.to(x.dtype()));
  Tensor scores = spec_.span > 0 ? bias(layer, query, parts[1], call) : Tensor();
  if (call.mask.defined()) {
    const Tensor mask = call.mask.to(x.dtype());
    scores = scores.defined() ? add(multiply(scores, call.visible_places.to(x.dtype())), mask) : mask;
  }
  const AttentionOptions options{
      .scale = scale_, .bias = scores, .dropout = rows.training ? spec_.dropout : 0, .product_dtype = product_dtype_};
  const Tensor mixed = attention(query, parts[1], parts[2], rows.offsets, rows.offsets, options);
  return reshape(mixed, Shape{rows.rows(), spec_.num_heads * head_size_});
}

}  // namespace mica
