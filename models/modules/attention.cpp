#include "mica/models/modules/attention.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/shape.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

std::string numbered(const std::string& name, int64_t i) {
  return name + ".norms." + std::to_string(i);
}

// x [rows, heads * size] by heads.
Tensor by_heads(const Tensor& x, int64_t heads) {
  return split_heads(x, Shape{x.size(0), heads, x.size(1) / heads});
}

}  // namespace

Attention::Attention(const Scope& scope, int64_t hidden_size, AttentionSpec spec)
    : spec_(std::move(spec)), product_dtype_(scope.options().dtype) {
  const AttentionNames& names = spec_.names;
  const int64_t heads = spec_.num_attention_heads;
  const int64_t key_heads = spec_.num_key_value_heads;
  const int64_t size = spec_.head_dim;
  const auto linear = [&](const std::string& name, int64_t in, int64_t out, bool bias) {
    return Linear(scope / name, in, out, bias, spec_.transposed);
  };
  int64_t mixed = heads * size;
  if (spec_.latent) {
    const LatentSpec& latent = *spec_.latent;
    const Scope module = scope / names.latent;
    const int64_t query = heads * (latent.content_dim + latent.rotary_dim);
    if (latent.query_rank > 0) {
      query_down_ = Linear(module / "q_a_proj", hidden_size, latent.query_rank, spec_.query_bias);
      query_latent_norm_ = Norm(module / "q_a_layernorm", latent.query_rank, latent.norm);
      query_up_ = Linear(module / "q_b_proj", latent.query_rank, query, false);
    } else {
      query_up_ = Linear(module / "q_proj", hidden_size, query, false);
    }
    latent_down_ =
        Linear(module / "kv_a_proj_with_mqa", hidden_size, latent.key_value_rank + latent.rotary_dim, spec_.key_bias);
    latent_norm_ = Norm(module / "kv_a_layernorm", latent.key_value_rank, latent.norm);
    latent_up_ =
        Linear(module / "kv_b_proj", latent.key_value_rank, heads * (latent.content_dim + latent.value_dim), false);
    mixed = heads * latent.value_dim;
  } else if (spec_.layout == ProjectionLayout::separate) {
    query_ = linear(names.query, hidden_size, heads * size, spec_.query_bias);
    key_ = linear(names.key, hidden_size, key_heads * size, spec_.key_bias);
    value_ = linear(names.value, hidden_size, key_heads * size, spec_.value_bias);
    separate_ = LinearGroup({query_, key_, value_}, scope.options());
  } else if (spec_.layout == ProjectionLayout::key_value) {
    query_ = linear(names.query, hidden_size, heads * size, spec_.query_bias);
    fused_ = linear(names.query_key_value, hidden_size, 2 * key_heads * size, spec_.key_bias);
  } else {
    fused_ = linear(names.query_key_value, hidden_size, (heads + 2 * key_heads) * size, spec_.query_bias);
  }
  switch (spec_.query_key_norm) {
    case QueryKeyNorm::none:
      break;
    case QueryKeyNorm::per_head:
      query_norm_ = Norm(scope / names.query_norm, size, spec_.norm);
      key_norm_ = Norm(scope / names.key_norm, size, spec_.norm);
      break;
    case QueryKeyNorm::full:
      query_norm_ = Norm(scope / names.query_norm, heads * size, spec_.norm);
      key_norm_ = Norm(scope / names.key_norm, key_heads * size, spec_.norm);
      break;
    case QueryKeyNorm::each_head:
      query_weights_ = (scope / names.query_norm).ones("weight", {heads, size});
      key_weights_ = (scope / names.key_norm).ones("weight", {key_heads, size});
      break;
    case QueryKeyNorm::module_a_head:
      for (int64_t i = 0; i < heads; ++i)
        query_norms_.emplace_back(scope / numbered(names.query_norm, i), size, spec_.norm);
      for (int64_t i = 0; i < key_heads; ++i)
        key_norms_.emplace_back(scope / numbered(names.key_norm, i), size, spec_.norm);
      break;
  }
  if (spec_.sinks) sinks_ = (scope / names.sinks).weight("sinks", {heads});
  if (!spec_.alibi.empty()) {
    const std::vector<float> slopes(spec_.alibi.begin(), spec_.alibi.end());
    alibi_ = scope.constant(Tensor::from(slopes));
  }
  if (spec_.relative.buckets > 0 && !names.relative_bias.empty()) {
    relative_table_ = (scope / names.relative_bias).weight("weight", {spec_.relative.buckets, heads});
  }
  output_ = linear(names.output, mixed, hidden_size, spec_.output_bias);
}

// x [rows, heads, size], each head normalised.
Tensor Attention::normalise(const Tensor& x, const Norm& norm, const std::vector<Norm>& norms,
                            const Tensor& weights) const {
  switch (spec_.query_key_norm) {
    case QueryKeyNorm::none:
      return x;
    case QueryKeyNorm::per_head:
      return norm(x);
    case QueryKeyNorm::full:
      return by_heads(norm(reshape(x, Shape{x.size(0), x.size(1) * x.size(2)})), x.size(1));
    case QueryKeyNorm::each_head:
    case QueryKeyNorm::module_a_head:
      break;
  }
  std::vector<Tensor> rows;
  for (const Norm& each : norms) rows.push_back(reshape(each.weight(), Shape{1, x.size(2)}));
  const Tensor scale = weights.defined() ? weights : cat(rows, 0);
  const Tensor plain =
      spec_.norm.kind == NormKind::rms_norm ? rms_norm(x, {}, spec_.norm.eps) : layer_norm(x, {}, {}, spec_.norm.eps);
  return multiply(plain, cast(scale, plain.dtype()));
}

Attention::Parts Attention::project_latent(const Tensor& x, const AttentionContext& context) const {
  const LatentSpec& latent = *spec_.latent;
  const int64_t rows = x.size(0);
  const int64_t heads = spec_.num_attention_heads;
  const RotaryAngles& angles = context.rotary[static_cast<size_t>(spec_.rotary)];
  Parts parts;
  const Tensor query = query_down_.defined() ? query_up_(query_latent_norm_(query_down_(x))) : query_up_(x);
  parts.query = rotary(by_heads(query, heads), angles.cos, angles.sin, spec_.rotary_layout, latent.content_dim);
  const Tensor down = latent_down_(x);  // [rows, key_value_rank + rotary_dim]
  const Tensor narrow = latent_norm_(slice(down, 1, 0, latent.key_value_rank));
  const Tensor up = by_heads(latent_up_(narrow), heads);  // [rows, heads, content_dim + value_dim]
  const Tensor position = by_heads(slice(down, 1, latent.key_value_rank, down.size(1)), 1);
  const Tensor rotated = rotary(position, angles.cos, angles.sin, spec_.rotary_layout);
  parts.key = cat({slice(up, 2, 0, latent.content_dim), expand(rotated, Shape{rows, heads, latent.rotary_dim})}, 2);
  parts.value = slice(up, 2, latent.content_dim, latent.content_dim + latent.value_dim);
  return parts;
}

Attention::Parts Attention::project(const Tensor& x) const {
  const int64_t rows = x.size(0);
  const int64_t heads = spec_.num_attention_heads;
  const int64_t key_heads = spec_.num_key_value_heads;
  const int64_t size = spec_.head_dim;
  Parts parts;
  if (spec_.layout == ProjectionLayout::grouped) {
    const int64_t group = heads / key_heads;
    const Tensor all = reshape(fused_(x), Shape{rows, key_heads, group + 2, size});
    parts.query = reshape(slice(all, 2, 0, group), Shape{rows, heads, size});
    parts.key = select(all, 2, group);
    parts.value = select(all, 2, group + 1);
  } else {
    std::array<Tensor, 3> flat;
    if (spec_.layout == ProjectionLayout::separate) {
      flat = separate_(x);
    } else {
      const Tensor all = fused_(x);
      const int64_t keys = heads * size, values = keys + key_heads * size;
      if (all.requires_grad()) {
        const std::vector<Tensor> parts_of_all = split(all, {keys, key_heads * size, key_heads * size}, 1);
        std::copy_n(parts_of_all.begin(), flat.size(), flat.begin());
      } else {
        flat = {slice(all, 1, 0, keys), slice(all, 1, keys, values), slice(all, 1, values, values + key_heads * size)};
      }
    }
    parts.query = by_heads(flat[0], heads);
    parts.key = by_heads(flat[1], key_heads);
    parts.value = by_heads(flat[2], key_heads);
  }
  if (spec_.clip > 0) {
    for (Tensor* each : {&parts.query, &parts.key, &parts.value}) *each = clamp(*each, -spec_.clip, spec_.clip);
  }
  return parts;
}

// Norms and rotary positions of queries and keys, one after the other.
void Attention::turn(Parts* parts, const AttentionContext& context) const {
  const auto norms = [&] {
    parts->query = normalise(parts->query, query_norm_, query_norms_, query_weights_);
    parts->key = normalise(parts->key, key_norm_, key_norms_, key_weights_);
  };
  if (!spec_.norm_after_rotary) norms();
  if (spec_.rotary >= 0) {
    const RotaryAngles& angles = context.rotary[static_cast<size_t>(spec_.rotary)];
    parts->query = rotary(parts->query, angles.cos, angles.sin, spec_.rotary_layout);
    parts->key = rotary(parts->key, angles.cos, angles.sin, spec_.rotary_layout);
  }
  if (spec_.norm_after_rotary) norms();
}

HeadNorms Attention::head_norms() const {
  if (spec_.query_key_norm != QueryKeyNorm::per_head) return {};
  return {query_norm_.weight(), key_norm_.weight(), spec_.norm.weight_offset, spec_.norm.eps};
}

// Whether one kernel does all that turn() does, and brings keys and values to the cache.
bool Attention::placeable(const Parts& parts) const {
  const bool norms = spec_.query_key_norm == QueryKeyNorm::per_head && spec_.norm.kind == NormKind::rms_norm &&
                     !spec_.norm_after_rotary;
  if (spec_.rotary < 0 || !(norms || spec_.query_key_norm == QueryKeyNorm::none)) return false;
  const HeadNorms weights = head_norms();
  return places_heads(parts.query, weights) &&
         !wants_grad({&parts.query, &parts.key, &parts.value, &weights.query, &weights.key});
}

// True: keys and values are those of the cache now.
bool Attention::place(Parts* parts, const AttentionContext& context, int64_t layer) const {
  const RotaryAngles& angles = context.rotary[static_cast<size_t>(spec_.rotary)];
  const HeadNorms norms = head_norms();
  const Tensor query = Tensor::empty(parts->query.shape(), parts->query.dtype(), parts->query.device());
  const auto run = [&](int64_t from, int64_t count, const HeadPlaces& places) {
    const auto rows = [&](const Tensor& of) { return of.slice(0, from, from + count); };
    place_heads(rows(parts->query), rows(parts->key), rows(parts->value), norms, rows(angles.cos), rows(angles.sin),
                spec_.rotary_layout, rows(query), places);
  };
  std::optional<CacheTargets> targets;
  if (context.cache != nullptr) targets = context.cache->targets(layer, parts->key, parts->value);
  if (!targets || targets->rows.defined()) {
    HeadPlaces places;
    if (targets) {
      places = {targets->keys, targets->values, targets->rows};
    } else {
      places.keys = Tensor::empty(parts->key.shape(), parts->key.dtype(), parts->key.device());
    }
    run(0, query.size(0), places);
    parts->key = places.keys;
    if (targets) parts->value = places.values;
  } else {
    for (const CacheTargets::Run& each : targets->runs) {
      const auto rows = [&](const Tensor& of) { return of.slice(0, each.to, each.to + each.count); };
      run(each.from, each.count, {rows(targets->keys), rows(targets->values), {}});
    }
    parts->key = targets->keys;
    parts->value = targets->values;
  }
  parts->query = query;
  return targets.has_value();
}

Tensor Attention::mix(const Parts& parts, const SequenceOffsets& keys, const Tensor& key_mask,
                      const AttentionContext& context, bool causal) const {
  const DType dtype = parts.query.dtype();
  const AttentionOptions options{.scale = spec_.scale,
                                 .causal = causal,
                                 .window = spec_.window,
                                 .softcap = spec_.softcap,
                                 .key_mask = key_mask,
                                 .bias = context.bias,
                                 .alibi_slopes = alibi_.defined() ? alibi_.to(dtype) : Tensor(),
                                 .sinks = sinks_.defined() ? cast(sinks_, dtype) : Tensor(),
                                 .dropout = context.training ? spec_.dropout : 0,
                                 .product_dtype = product_dtype_};
  const Tensor mixed = attention(parts.query, parts.key, parts.value, *context.queries, keys, options);
  return reshape(mixed, Shape{mixed.size(0), mixed.size(1) * mixed.size(2)});
}

Tensor Attention::operator()(const Tensor& x, const AttentionContext& context, int64_t layer,
                             const After& after) const {
  Parts parts = spec_.latent ? project_latent(x, context) : project(x);
  const SequenceOffsets* keys = context.queries;
  bool kept = false;
  if (!spec_.latent && placeable(parts)) {
    kept = place(&parts, context, layer);
  } else if (!spec_.latent) {
    turn(&parts, context);
  }
  if (context.cache != nullptr) {
    if (!kept) std::tie(parts.key, parts.value) = context.cache->append(layer, parts.key, parts.value);
    keys = &context.cache->offsets(layer);
  }
  const PrefixedKeys* prefix = context.prefix.get();
  if (prefix != nullptr) {
    std::tie(parts.key, parts.value) = prefix->join(static_cast<size_t>(layer), parts.key, parts.value);
    keys = &prefix->offsets();
  }
  const Tensor& key_mask = prefix != nullptr ? prefix->key_mask() : context.key_mask;
  return output_(mix(parts, *keys, key_mask, context, spec_.causal), after);
}

std::pair<Tensor, Tensor> Attention::key_values(const Tensor& states) const {
  const int64_t heads = spec_.num_key_value_heads;
  if (spec_.layout != ProjectionLayout::key_value)
    return {by_heads(key_(states), heads), by_heads(value_(states), heads)};
  const Tensor both = fused_(states);
  const int64_t size = heads * spec_.head_dim;
  return {by_heads(slice(both, 1, 0, size), heads), by_heads(slice(both, 1, size, 2 * size), heads)};
}

Tensor Attention::cross(const Tensor& x, const std::pair<Tensor, Tensor>& key_values, const AttentionContext& context,
                        const After& after) const {
  const Parts parts{by_heads(query_(x), spec_.num_attention_heads), key_values.first, key_values.second};
  return output_(mix(parts, *context.keys, context.key_mask, context, false), after);
}

}  // namespace mica
