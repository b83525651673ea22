#include "mica/models/architectures/stack.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "mica/autograd/autocast.h"
#include "mica/autograd/checkpoint.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/embedding.h"
#include "mica/autograd/random.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/modules/positions.h"
#include "mica/models/modules/router_balance.h"

namespace mica {

void put_norms_before(StackSpec* spec) {
  StackNames& names = spec->names;
  std::swap(names.attention_norm, names.attention_sum_norm);
  std::swap(names.cross_norm, names.cross_sum_norm);
  std::swap(names.mlp_norm, names.mlp_sum_norm);
  names.final_norm = "layer_norm";
}

Stack::Stack(const Scope& scope, StackSpec spec, const Tensor& shared_words)
    : spec_(std::move(spec)), product_dtype_(scope.options().dtype), words_(shared_words) {
  const StackNames& names = spec_.names;
  const int64_t hidden = spec_.hidden_size;
  const int64_t size = spec_.embedding_size;
  const int64_t summed = spec_.project_sum ? size : hidden;
  const auto norm = [&](const Scope& where, const std::string& name, int64_t of) {
    return name.empty() ? Norm() : Norm(where / name, of, spec_.norm);
  };
  if (!words_.defined())
    words_ = (scope / names.word_embeddings).matrix("weight", {spec_.vocab_size, size}, spec_.padding_idx);
  if (spec_.positions == PositionTable::learned) {
    const int64_t rows = spec_.max_position_embeddings + spec_.position_offset;
    const Scope module = scope / names.position_embeddings;
    position_table_ = spec_.sinusoidal_start ? module.computed("weight", sinusoid_table(rows))
                                             : module.weight("weight", {rows, summed}, spec_.position_padding_idx);
  }
  if (!position_table_.defined()) (scope / names.position_embeddings).ignore("weight");
  if (spec_.type_vocab_size > 0)
    types_ = (scope / names.type_embeddings).weight("weight", {spec_.type_vocab_size, size});
  embeddings_norm_ = norm(scope, names.embeddings_norm, summed);
  if (spec_.project_sum) {
    project_in_ = Linear(scope / names.project_in, size, hidden);
  } else if (size != hidden) {
    project_in_ = Linear(scope / names.project_in, size, hidden, false);
    project_out_ = Linear(scope / names.project_out, hidden, size, false);
  }
  for (const RotarySpec& each : spec_.rotary) {
    rotary_.emplace_back(each);
    if (names.rotary.empty()) continue;
    const Tensor stored = (scope / names.rotary).computed("inv_freq", rotary_.back().frequencies());
    stored.set_requires_grad(false);
    rotary_.back() = Rotary(each, stored);
    // Older files repeat them for every layer.
    const size_t star = names.rotary.find('*');
    for (size_t i = 0; star != names.rotary.npos && i < spec_.layers.size(); ++i) {
      std::string of_layer = names.rotary;
      (scope / of_layer.replace(star, 1, std::to_string(i))).ignore("inv_freq");
    }
  }
  for (size_t i = 0; i < spec_.layers.size(); ++i) {
    const LayerSpec& layer_spec = spec_.layers[i];
    const Scope part = scope / names.layers / static_cast<int64_t>(i);
    Layer layer;
    if (i > 0 || spec_.first_norm) layer.attention_norm = norm(part, names.attention_norm, hidden);
    if (spec_.local_global) {
      const AttentionSpec& attention = layer_spec.attention;
      layer.attention_output = Linear(part / attention.names.output, hidden, hidden, attention.output_bias);
    } else {
      layer.attention = Attention(part, hidden, layer_spec.attention);
    }
    layer.attention_post_norm = norm(part, names.attention_post_norm, hidden);
    layer.attention_sum_norm = norm(part, names.attention_sum_norm, hidden);
    if (layer_spec.cross) {
      layer.cross_norm = norm(part, names.cross_norm, hidden);
      layer.cross.emplace(part, hidden, *layer_spec.cross);
      layer.cross_sum_norm = norm(part, names.cross_sum_norm, hidden);
    }
    layer.mlp_norm = norm(part, names.mlp_norm, hidden);
    if (layer_spec.experts.num_experts > 0) {
      layer.experts = Experts(part, hidden, layer_spec.experts);
    } else {
      layer.mlp = Mlp(part, hidden, layer_spec.mlp);
    }
    layer.mlp_post_norm = norm(part, names.mlp_post_norm, hidden);
    layer.mlp_sum_norm = norm(part, names.mlp_sum_norm, hidden);
    layers_.push_back(std::move(layer));
  }
  final_norm_ = norm(scope, names.final_norm, hidden);
  for (const KeptLinear& each : spec_.kept) Linear(scope / each.name, each.in, each.out);
  if (spec_.local_global) {
    std::vector<std::string> each;
    for (size_t i = 0; i < layers_.size(); ++i) each.push_back(names.layers + "." + std::to_string(i));
    attention_ = std::make_unique<LocalGlobalAttention>(scope, each, hidden, *spec_.local_global);
  }
}

Tensor Stack::sinusoid_table(int64_t rows) const {
  std::vector<int64_t> positions(static_cast<size_t>(rows));
  std::iota(positions.begin(), positions.end(), 0);
  return sinusoidal_positions(positions, spec_.hidden_size, spec_.sinusoid, -1, words_.device());
}

// The position of every row in its text, from zero.
RecycledVector<int64_t> Stack::positions_of(const Rows& rows, const KeyValueCache* cache) const {
  if (on_device(rows)) return {};
  RecycledVector<int64_t> positions(static_cast<size_t>(rows.rows()));
  if (rows.position_ids.defined()) {
    const Tensor ids = rows.position_ids.contiguous();
    const int64_t* data = ids.data<int64_t>();
    positions.assign(data, data + ids.numel());
    return positions;
  }
  for (int64_t s = 0; s < rows.batch(); ++s) {
    const int64_t first = cache == nullptr ? rows.first_position() : cache->position(s);
    for (int64_t i = 0; i < rows.offsets.length(s); ++i) {
      positions[static_cast<size_t>(rows.offsets.begin(s) + i)] = first + i;
    }
  }
  return positions;
}

// Rows of the position table.
RecycledVector<int64_t> Stack::position_rows(const Rows& rows, std::span<const int64_t> positions) const {
  RecycledVector<int64_t> index(positions.begin(), positions.end());
  const bool by_ids = spec_.position_rule == PositionRule::from_padding && rows.input_ids.defined();
  const bool by_mask = spec_.position_rule == PositionRule::from_mask && rows.shown.defined();
  if (!rows.position_ids.defined() && (by_ids || by_mask)) {
    const std::vector<int64_t> shown = by_ids ? rows.input_ids.to_vector<int64_t>() : rows.shown.to_vector<int64_t>();
    const int64_t hidden = by_ids ? spec_.padding_idx : 0;
    for (int64_t s = 0; s < rows.batch(); ++s) {
      int64_t next = rows.offsets.length(s) > 0 ? positions[static_cast<size_t>(rows.offsets.begin(s))] : 0;
      for (int64_t i = rows.offsets.begin(s); i < rows.offsets.begin(s) + rows.offsets.length(s); ++i) {
        index[static_cast<size_t>(i)] = shown[static_cast<size_t>(i)] == hidden ? -1 : next++;
      }
    }
  }
  const bool are_rows = rows.position_ids.defined() && spec_.position_rule == PositionRule::from_padding;
  const int64_t reserved = are_rows ? spec_.position_offset : 0;
  for (int64_t& each : index) {
    each -= reserved;
    if (position_table_.defined() && each >= spec_.max_position_embeddings) {
      throw Error("input of " + std::to_string(each + 1) + " tokens", "model inputs",
                  "this model takes at most " + std::to_string(spec_.max_position_embeddings) + "; truncate it");
    }
    each += spec_.position_offset;
  }
  return index;
}

Tensor Stack::zero_masked_words(const Tensor& x, const Rows& rows) const {
  const std::vector<int64_t> ids = rows.input_ids.to_vector<int64_t>();
  const std::vector<uint8_t> shown =
      rows.shown.defined() ? rows.shown.to_vector<uint8_t>() : std::vector<uint8_t>(ids.size(), 1);
  std::vector<float> factors(ids.size());
  for (int64_t s = 0; s < rows.batch(); ++s) {
    const auto begin = static_cast<size_t>(rows.offsets.begin(s));
    const size_t end = begin + static_cast<size_t>(rows.offsets.length(s));
    int64_t masked = 0;
    int64_t length = 0;
    for (size_t i = begin; i < end; ++i) {
      masked += ids[i] == spec_.zeroed_token_id ? 1 : 0;
      length += shown[i] != 0 ? 1 : 0;
    }
    const float share = static_cast<float>(masked) / static_cast<float>(std::max<int64_t>(length, 1));
    const float factor = share < 1 ? static_cast<float>(1 - spec_.mask_share) / (1 - share) : 0;
    for (size_t i = begin; i < end; ++i) factors[i] = ids[i] == spec_.zeroed_token_id ? 0 : factor;
  }
  return multiply(x, Tensor::from(factors, {rows.rows(), 1}).to(x.dtype()).to(rows.device));
}

Tensor Stack::embed(const Rows& rows, std::span<const int64_t> positions) const {
  Tensor x;
  if (rows.input_ids.defined()) {
    x = embedding(words_, rows.input_ids, spec_.padding_idx);
  } else {
    if (rows.inputs_embeds.size(-1) != spec_.embedding_size) {
      throw Error("inputs_embeds of size " + std::to_string(rows.inputs_embeds.size(-1)), "model inputs",
                  "this model's embeddings have size " + std::to_string(spec_.embedding_size));
    }
    x = reshape(rows.inputs_embeds, Shape{rows.rows(), spec_.embedding_size});
  }
  const bool scaled = rows.input_ids.defined() || spec_.scaled == EmbeddingScale::all;
  if (spec_.embedding_scale != 1 && scaled) x = affine(x, spec_.embedding_scale);
  if (spec_.zeroed_token_id >= 0 && rows.input_ids.defined()) x = zero_masked_words(x, rows);
  if (types_.defined()) {
    const Tensor ids =
        rows.token_type_ids.defined() ? rows.token_type_ids : Tensor::zeros({rows.rows()}, DType::int64, rows.device);
    x = add(x, cast(embedding(types_, ids), x.dtype()));
  }
  if (spec_.types_are_words && rows.token_type_ids.defined()) x = add(x, embedding(words_, rows.token_type_ids));
  if (project_in_.defined() && !spec_.project_sum) x = project_in_(x);
  if (embeddings_norm_.defined() && spec_.norm_before_positions) x = embeddings_norm_(x);
  if (const Tensor placed = embed_positions(rows, positions); placed.defined()) x = add(x, cast(placed, x.dtype()));
  if (embeddings_norm_.defined() && !spec_.norm_before_positions) x = embeddings_norm_(x);
  if (spec_.hidden_are_zero && rows.key_mask.defined()) {
    x = multiply(x, reshape(rows.key_mask.to(x.dtype()), Shape{rows.rows(), 1}));
  }
  x = dropout(x, rows.training ? spec_.embedding_dropout : 0);
  return as_activations(spec_.project_sum ? project_in_(x) : x, product_dtype_);
}

struct Stack::Call {
  AttentionContext self, cross;
  LayerMixer mix;  // empty: the layers attend themselves
  const CrossStates* states = nullptr;
  double dropout = 0;
  bool balances = false;
};

// The bias of bucketed distances: one for all sequences, unless they stand at different places.
Tensor Stack::relative_bias(const Tensor& table, const RelativeBiasSpec& spec, const Rows& rows,
                            const KeyValueCache* cache) const {
  const int64_t queries = rows.offsets.longest();
  if (cache == nullptr) {
    const int64_t before = rows.first_position();
    return relative_position_bias(table, before, queries, before + queries, spec.max_distance, spec.bidirectional);
  }
  int64_t keys = 0;
  bool same = true;
  for (int64_t s = 0; s < rows.batch(); ++s) {
    keys = std::max(keys, cache->position(s) + rows.offsets.length(s));
    same = same && cache->position(s) == cache->position(0);
  }
  RecycledVector<Tensor> each;
  for (int64_t s = 0; s < (same ? 1 : rows.batch()); ++s) {
    each.push_back(
        relative_position_bias(table, cache->position(s), queries, keys, spec.max_distance, spec.bidirectional));
  }
  return each.size() == 1 ? each[0] : cat({each.begin(), each.end()}, 0);
}

// residual + part's result, with the norms around it.
template <typename Part>
Tensor Stack::join(const Part& part, const Tensor& residual, const Norm& post_norm, const Norm& sum_norm,
                   double dropout, const Norm* next, Tensor* normed) const {
  const Norm* last = sum_norm.defined() ? &sum_norm : nullptr;
  if (!post_norm.defined() && spec_.residual_scale == 1) {
    After after{.dropout = dropout, .residual = residual, .norm = last};
    if (next != nullptr && next->defined()) {
      after.next = next;
      after.normed = normed;
    }
    return part(after);
  }
  Tensor y = part(After{.dropout = dropout});
  if (post_norm.defined()) y = post_norm(y);
  if (spec_.residual_scale != 1) y = affine(y, spec_.residual_scale);
  y = add(residual, y);
  return last != nullptr ? (*last)(y) : y;
}

Tensor Stack::feed_forward(const Layer& layer, const Tensor& x, const After& after, const Call& call,
                           Step* result) const {
  const bool training = call.self.training;
  if (!layer.experts.defined()) return layer.mlp(x, after, training);
  Experts::Balance balance{.shown = call.self.key_mask};
  Tensor y = dropout(layer.experts(x, training, call.balances ? &balance : nullptr), after.dropout);
  result->balance = balance.sums;
  if (after.residual.defined()) y = add(y, after.residual);
  return after.norm != nullptr ? (*after.norm)(y) : y;
}

Stack::Step Stack::run(const Layer& layer, size_t index, const Step& input, const Call& call, const Norm* next) const {
  Tensor x = input.x;
  const auto number = static_cast<int64_t>(index);
  // Of x, unless it was made on the way.
  const auto normed = [](const Norm& norm, const Tensor& of, const Tensor& made) {
    return made.defined() ? made : norm.defined() ? norm(of) : of;
  };
  const Tensor first = normed(layer.attention_norm, x, input.normed);
  Step result;
  const auto attend = [&](const After& after) {
    return call.mix ? layer.attention_output(call.mix(index, first), after)
                    : layer.attention(first, call.self, number, after);
  };
  if (spec_.parallel) {
    const Tensor second = layer.mlp_norm.defined() ? layer.mlp_norm(x) : first;
    const Tensor attended = join(attend, x, layer.attention_post_norm, {}, call.dropout);
    result.x = join([&](const After& after) { return feed_forward(layer, second, after, call, &result); }, attended,
                    layer.mlp_post_norm, {}, call.dropout, next, &result.normed);
    return result;
  }
  const bool crosses = layer.cross && call.states != nullptr;
  Tensor ahead;
  x = join(attend, spec_.residual_from_norm ? first : x, layer.attention_post_norm, layer.attention_sum_norm,
           call.dropout, crosses ? &layer.cross_norm : &layer.mlp_norm, &ahead);
  if (crosses) {
    const Tensor query = normed(layer.cross_norm, x, std::exchange(ahead, Tensor()));
    x = join(
        [&](const After& after) {
          return layer.cross->cross(query, call.states->key_values[index], call.cross, after);
        },
        x, {}, layer.cross_sum_norm, call.dropout, &layer.mlp_norm, &ahead);
  }
  const Tensor second = normed(layer.mlp_norm, x, ahead);
  result.x = join([&](const After& after) { return feed_forward(layer, second, after, call, &result); },
                  spec_.residual_from_norm ? second : x, layer.mlp_post_norm, layer.mlp_sum_norm, call.dropout, next,
                  &result.normed);
  return result;
}

// A checkpoint has one result: where the router's balance is asked for it lies behind x.
Stack::Step Stack::run_checkpointed(size_t index, const Tensor& x, const Call& call,
                                    const std::shared_ptr<const void>& held) const {
  const Layer& layer = layers_[index];
  if (!call.balances || !layer.experts.defined()) {
    return {
        .x = run_layer([this, &layer, index, x, call, held] { return run(layer, index, {.x = x}, call, nullptr).x; })};
  }
  const int64_t size = x.numel(), experts = layer.experts.size();
  const DType wide = x.dtype() == DType::float64 ? DType::float64 : DType::float32;  // holds both exactly
  const Tensor both = run_layer([this, &layer, index, x, call, held, size, experts, wide] {
    const Step step = run(layer, index, {.x = x}, call, nullptr);
    return cat({cast(reshape(step.x, {size}), wide), cast(reshape(step.balance, {2 * experts}), wide)}, 0);
  });
  return {.x = cast(reshape(slice(both, 0, 0, size), x.shape()), x.dtype()),
          .balance = cast(reshape(slice(both, 0, size, size + 2 * experts), {2, experts}), DType::float32)};
}

void Stack::check_prefix(const Rows& rows, const KeyValueCache* cache) const {
  if (attention_ != nullptr || cache != nullptr) {
    throw Error("a prefix of keys and values", "stack",
                cache != nullptr ? "put it into the cache" : "this model's attention takes none");
  }
  if (rows.prefix->key_values.size() != layers_.size()) {
    throw Error("a prefix of " + std::to_string(rows.prefix->key_values.size()) + " layers", "stack",
                "the model has " + std::to_string(layers_.size()));
  }
}

namespace {
int64_t shown_rows(const Rows& rows) {
  if (!rows.shown.defined()) return rows.rows();
  const std::vector<uint8_t> shown = rows.shown.to(DType::uint8).to_vector<uint8_t>();
  return std::count(shown.begin(), shown.end(), uint8_t{1});
}
}  // namespace

Stack::Output Stack::operator()(const Rows& given, KeyValueCache* cache, const CrossStates* given_cross,
                                const StepTables* tables) const {
  // Layers of a checkpoint run again when what the caller gave is gone.
  struct Held {
    Rows rows;
    CrossStates cross;
  };
  std::shared_ptr<const Held> held;
  if (grad_enabled() && cache == nullptr)
    held = std::make_shared<const Held>(Held{given, given_cross != nullptr ? *given_cross : CrossStates()});
  const Rows& rows = held != nullptr ? held->rows : given;
  const CrossStates* cross = held != nullptr && given_cross != nullptr ? &held->cross : given_cross;
  if (cache != nullptr) {
    if (rows.key_mask.defined()) {
      throw Error("an attention_mask with hidden tokens, and a cache", "model inputs", "give a ragged batch instead");
    }
    RecycledVector<int64_t> counts;
    for (int64_t s = 0; s < rows.batch(); ++s) counts.push_back(rows.offsets.length(s));
    cache->begin(counts);
  }
  const RecycledVector<int64_t> positions = positions_of(rows, cache);
  Call call;
  call.self = {.queries = &rows.offsets, .key_mask = rows.key_mask, .cache = cache, .training = rows.training};
  if (rows.prefix != nullptr) {
    check_prefix(rows, cache);
    call.self.prefix = std::make_shared<PrefixedKeys>(*rows.prefix, rows.offsets, rows.key_mask, rows.device);
  }
  if (cross != nullptr) {
    call.states = cross;
    call.cross = {
        .queries = &rows.offsets, .keys = &cross->offsets, .key_mask = cross->key_mask, .training = rows.training};
  }
  call.dropout = rows.training ? spec_.hidden_dropout : 0;
  call.balances = spec_.balances_routers && cache == nullptr && rows.rows() > 0;
  if (attention_ != nullptr) {
    if (cache != nullptr)
      throw Error("windows with global tokens, and a cache", "stack", "this model reads whole texts");
    call.mix = attention_->start(rows);
  }
  Output output;
  Tensor x = embed(rows, positions);
  call.self.rotary = angles(rows, positions, x.dtype(), tables);
  Step step{.x = x};
  Tensor balance;
  int64_t balanced = 0;  // layers
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (rows.output_hidden_states) output.hidden_states.push_back(x);
    const Attention& attention = layers_[i].attention;
    if (attention.relative_table().defined()) {
      call.self.bias =
          cast(relative_bias(attention.relative_table(), attention.spec().relative, rows, cache), x.dtype());
    }
    if (held != nullptr && checkpointing()) {
      step = run_checkpointed(i, x, call, held);
    } else {
      const Norm& next = i + 1 < layers_.size() ? layers_[i + 1].attention_norm : final_norm_;
      step = run(layers_[i], i, step, call, &next);
    }
    x = step.x;
    if (!step.balance.defined()) continue;
    balance = balance.defined() ? add(balance, step.balance) : step.balance;
    ++balanced;
  }
  if (balanced > 0) output.load_balancing_loss = load_balancing_loss(balance, balanced * shown_rows(rows));
  if (cache != nullptr) cache->end();
  if (final_norm_.defined()) x = step.normed.defined() ? step.normed : final_norm_(x);
  if (project_out_.defined()) x = project_out_(x);
  x = dropout(x, rows.training ? spec_.final_dropout : 0);
  if (rows.output_hidden_states) output.hidden_states.push_back(x);
  output.hidden = x;
  return output;
}

CrossStates Stack::cross_states(const Tensor& encoder_hidden, const Rows& encoder_rows) const {
  CrossStates states{.offsets = encoder_rows.offsets, .key_mask = encoder_rows.key_mask};
  for (const Layer& layer : layers_) {
    if (layer.cross) states.key_values.push_back(layer.cross->key_values(encoder_hidden));
  }
  return states;
}

}  // namespace mica
