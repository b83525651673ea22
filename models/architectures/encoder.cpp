#include "mica/models/architectures/encoder.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "mica/autograd/autocast.h"
#include "mica/autograd/checkpoint.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/embedding.h"
#include "mica/autograd/random.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/architectures/limits.h"
#include "mica/models/modules/positions.h"

namespace mica {
namespace {

constexpr int64_t kGroupRows = 512;

// Positions behind a prefix: so much later, but for those of padding.
Tensor moved(const Tensor& positions, int64_t by, PositionKind kind, int64_t padding_idx) {
  std::vector<int64_t> values = positions.to_vector<int64_t>();
  for (int64_t& each : values) {
    if (kind == PositionKind::from_zero || each != padding_idx) each += by;
  }
  return Tensor::from(values);
}

}  // namespace

EncoderSpec encoder_spec(const Config& config) {
  EncoderSpec spec;
  spec.vocab_size = config.integer_in("vocab_size", 1, kMaxVocabulary);
  spec.hidden_size = config.integer_in("hidden_size", 1, kMaxSize);
  spec.embedding_size = spec.hidden_size;
  spec.num_hidden_layers = config.integer_in("num_hidden_layers", 0, kMaxLayers);
  spec.num_attention_heads = config.integer_in("num_attention_heads", 1, spec.hidden_size);
  if (spec.hidden_size % spec.num_attention_heads != 0) {
    throw Error("hidden_size " + std::to_string(spec.hidden_size) + " is no multiple of num_attention_heads " +
                    std::to_string(spec.num_attention_heads),
                config.where(), "change one of them");
  }
  spec.intermediate_size = config.integer_in("intermediate_size", 1, kMaxSize);
  if (config.has("max_position_embeddings")) {
    spec.max_position_embeddings = config.integer_in("max_position_embeddings", 1, kMaxVocabulary);
  }
  spec.type_vocab_size = config.has("type_vocab_size") ? config.integer_in("type_vocab_size", 0, kMaxSize) : 0;
  if (config.has("pad_token_id")) spec.padding_idx = config.integer_in("pad_token_id", -1, spec.vocab_size - 1);
  spec.activation = activation_from_name(config.text("hidden_act"));
  spec.layer_norm_eps = config.number_in("layer_norm_eps", 0, 1);
  spec.hidden_dropout = config.number_in("hidden_dropout_prob", 0, 0.999);
  spec.attention_dropout = config.number_in("attention_probs_dropout_prob", 0, 0.999);
  if (config.text("position_embedding_type", "absolute") != "absolute") {
    throw Error(
        "position_embedding_type \"" + printable(config.text("position_embedding_type")) + "\" is not supported",
        config.where(), "only absolute positions are");
  }
  spec.causal = config.flag("is_decoder");
  spec.cross_attention = config.flag("add_cross_attention");
  if (spec.cross_attention && !spec.causal) {
    throw Error("cross-attention in a network that is no decoder", config.where(),
                "set is_decoder to true, or add_cross_attention to false");
  }
  for (int64_t i = 0; i < spec.num_hidden_layers; ++i) spec.layer_names.push_back("encoder.layer." + std::to_string(i));
  return spec;
}

Encoder::Encoder(const Scope& scope, EncoderSpec spec, bool with_pooler)
    : spec_(std::move(spec)), product_dtype_(scope.options().dtype) {
  const EncoderNames& names = spec_.names;
  const int64_t hidden = spec_.hidden_size;
  const int64_t size = spec_.embedding_size;
  const NormSpec norm{.eps = spec_.layer_norm_eps};
  const auto table = [&](const std::string& name, int64_t rows, int64_t padding) {
    return (scope / name).matrix("weight", {rows, size}, padding);
  };
  word_ = table(names.word_embeddings, spec_.vocab_size, spec_.padding_idx);
  if (!names.position_embeddings.empty()) {
    position_ = table(names.position_embeddings, spec_.max_position_embeddings, spec_.position_padding_idx);
  }
  if (spec_.type_vocab_size > 0) token_type_ = table(names.token_type_embeddings, spec_.type_vocab_size, -1);
  if (spec_.task_type_vocab_size > 0) task_type_ = table(names.task_type_embeddings, spec_.task_type_vocab_size, -1);
  if (!names.embeddings_norm.empty()) {
    embeddings_norm_ = Norm(scope / names.embeddings_norm, spec_.norm_after_projection ? hidden : size, norm);
  }
  if (size != hidden || spec_.project_always) {
    project_ = Linear(scope / names.embeddings_project, size, hidden, !spec_.norm_after_projection);
  }
  if (spec_.relative_buckets > 0) {
    relative_bias_ = (scope / names.relative_bias).weight("weight", {spec_.relative_rows, spec_.num_attention_heads});
  }
  std::vector<std::string> built;
  for (const std::string& layer_name : spec_.layer_names) {
    const auto found = std::find(built.begin(), built.end(), layer_name);
    layer_of_.push_back(static_cast<size_t>(found - built.begin()));
    if (found != built.end()) continue;
    built.push_back(layer_name);
    const Scope part = scope / layer_name;
    EncoderLayer layer;
    if (std::holds_alternative<std::monostate>(spec_.attention)) {
      layer.query_key_value =
          LinearGroup({Linear(part / names.query, hidden, hidden), Linear(part / names.key, hidden, hidden),
                       Linear(part / names.value, hidden, hidden)},
                      scope.options());
    }
    if (!names.attention_output.empty()) {
      layer.attention_output = Linear(part / names.attention_output, hidden, hidden);
    }
    layer.attention_norm = Norm(part / names.attention_norm, hidden, norm);
    layer.intermediate = Linear(part / names.intermediate, hidden, spec_.intermediate_size);
    layer.output = Linear(part / names.output, spec_.intermediate_size, hidden);
    layer.output_norm = Norm(part / names.output_norm, hidden, norm);
    layers_.push_back(std::move(layer));
  }
  if (const auto* disentangled = std::get_if<DisentangledSpec>(&spec_.attention)) {
    attention_ = std::make_unique<DisentangledAttention>(scope, built, hidden, *disentangled);
  } else if (const auto* local_global = std::get_if<LocalGlobalSpec>(&spec_.attention)) {
    attention_ = std::make_unique<LocalGlobalAttention>(scope, built, hidden, *local_global);
  } else if (const auto* relative = std::get_if<RelativeAttentionSpec>(&spec_.attention)) {
    attention_ = std::make_unique<RelativeAttention>(scope, built, hidden, *relative);
  }
  if (spec_.convolution.kernel_size > 0) {
    convolution_ = TokenConvolution(scope / names.convolution, hidden, spec_.convolution);
  }
  if (!names.mask_embedding.empty()) mask_embedding_ = scope.weight(names.mask_embedding, {1, 1, hidden});
  if (!names.final_norm.empty()) final_norm_ = Norm(scope / names.final_norm, hidden, norm);
  if (!names.pooler.empty() && with_pooler) pooler_ = Linear((scope / names.pooler).may_be_new(), hidden, hidden);
  shape_ = {.vocab_size = spec_.vocab_size,
            .embedding_size = size,
            .hidden_size = hidden,
            .activation = spec_.activation,
            .layer_norm_eps = spec_.layer_norm_eps,
            .padding_idx = spec_.padding_idx,
            .max_tokens = max_tokens(),
            .causal = spec_.causal};
  if (attention_ == nullptr && spec_.relative_buckets == 0) {
    shape_.prefix_layers = static_cast<int64_t>(layer_of_.size());
    shape_.prefix_heads = spec_.num_attention_heads;
    shape_.prefix_head_dim = hidden / spec_.num_attention_heads;
  }
}

NetworkOutput Encoder::forward(const ModelInputs& inputs, Device device, bool training) const {
  NetworkOutput output;
  output.rows = to_rows(inputs, device);
  output.rows.training = training;
  EncoderOutput encoded = (*this)(output.rows);
  output.hidden = std::move(encoded.hidden);
  output.hidden_states = std::move(encoded.hidden_states);
  return output;
}

int64_t Encoder::max_tokens() const {
  const int64_t reserved = spec_.positions == PositionKind::from_padding ? spec_.position_padding_idx + 1 : 0;
  return spec_.max_position_embeddings - reserved;
}

Tensor Encoder::embed(const Rows& rows) const {
  const int64_t reserved = spec_.positions == PositionKind::from_padding ? spec_.position_padding_idx + 1 : 0;
  if (position_.defined() && !rows.position_ids.defined() &&
      rows.first_position() + rows.offsets.longest() > spec_.max_position_embeddings - reserved) {
    throw Error(
        "input of " + std::to_string(rows.first_position() + rows.offsets.longest()) + " tokens", "model inputs",
        "this model takes at most " + std::to_string(spec_.max_position_embeddings - reserved) + "; truncate it");
  }
  std::vector<EmbeddingTerm> terms;
  if (rows.input_ids.defined()) terms.push_back({word_, rows.input_ids, spec_.padding_idx});
  const auto zeros = [&] { return Tensor::zeros({rows.rows()}, DType::int64, rows.device); };
  if (token_type_.defined()) {
    terms.push_back({token_type_, rows.token_type_ids.defined() ? rows.token_type_ids : zeros(), -1});
  }
  if (position_.defined()) {
    Tensor ids = rows.position_ids;
    if (!ids.defined()) {
      ids = spec_.positions == PositionKind::from_zero
                ? positions_from_zero(rows.offsets)
                : positions_from_padding(rows.offsets, rows.input_ids, spec_.position_padding_idx);
      if (rows.prefix != nullptr) ids = moved(ids, rows.first_position(), spec_.positions, spec_.position_padding_idx);
    }
    terms.push_back({position_, ids, spec_.position_padding_idx});
  }
  if (task_type_.defined())
    terms.push_back({task_type_, rows.task_type_ids.defined() ? rows.task_type_ids : zeros(), -1});
  Tensor x = terms.empty() ? Tensor() : embedding_sum(terms);
  if (rows.inputs_embeds.defined()) {
    if (rows.inputs_embeds.size(-1) != spec_.embedding_size) {
      throw Error("inputs_embeds of size " + std::to_string(rows.inputs_embeds.size(-1)), "model inputs",
                  "this model's embeddings have size " + std::to_string(spec_.embedding_size));
    }
    const Tensor given = reshape(rows.inputs_embeds, Shape{rows.rows(), spec_.embedding_size});
    x = x.defined() ? add(given, x) : given;
  }
  if (project_.defined() && spec_.norm_after_projection) x = project_(x);
  if (embeddings_norm_.defined()) x = embeddings_norm_(x);
  if (spec_.hides_embeddings && rows.key_mask.defined()) {
    x = multiply(x, rows.key_mask.to(x.dtype()).reshape({rows.rows(), 1}));
  }
  if (rows.training) x = dropout(x, spec_.hidden_dropout);
  return as_activations(project_.defined() && !spec_.norm_after_projection ? project_(x) : x, product_dtype_);
}

// Every token with every other one; states are of that dtype.
LayerMixer Encoder::plain_attention(const Rows& rows, DType dtype) const {
  Tensor bias;
  const int64_t longest = rows.offsets.longest();
  if (relative_bias_.defined()) {
    const Tensor table = slice(relative_bias_, 0, 0, spec_.relative_buckets);
    bias = cast(relative_position_bias(table, 0, longest, longest, spec_.relative_max_distance, true), dtype);
  }
  if (rows.prefix_length >= 0) {
    const Tensor mask = prefix_mask(longest, rows.prefix_length, dtype, rows.device);
    bias = bias.defined() ? add(bias, mask) : mask;
  }
  std::shared_ptr<const PrefixedKeys> prefix;
  if (rows.prefix != nullptr) {
    if (rows.prefix->key_values.size() != layer_of_.size()) {
      throw Error("a prefix of " + std::to_string(rows.prefix->key_values.size()) + " layers", "encoder",
                  "the model has " + std::to_string(layer_of_.size()));
    }
    prefix = std::make_shared<PrefixedKeys>(*rows.prefix, rows.offsets, rows.key_mask, rows.device);
  }
  return [this, &rows, bias, prefix](size_t index, const Tensor& x) {
    const int64_t head_size = spec_.hidden_size / spec_.num_attention_heads;
    const Shape by_head{rows.rows(), spec_.num_attention_heads, head_size};
    auto parts = layers_[index].query_key_value(x);
    for (Tensor& part : parts) part = split_heads(part, by_head);
    const AttentionOptions options{.scale = 1 / std::sqrt(static_cast<double>(head_size)),
                                   .causal = spec_.causal,
                                   .key_mask = prefix != nullptr ? prefix->key_mask() : rows.key_mask,
                                   .bias = bias,
                                   .dropout = rows.training ? spec_.attention_dropout : 0,
                                   .product_dtype = product_dtype_};
    if (prefix != nullptr) std::tie(parts[1], parts[2]) = prefix->join(index, parts[1], parts[2]);
    const SequenceOffsets& keys = prefix != nullptr ? prefix->offsets() : rows.offsets;
    const Tensor mixed = attention(parts[0], parts[1], parts[2], rows.offsets, keys, options);
    return reshape(mixed, Shape{rows.rows(), spec_.hidden_size});
  };
}

Tensor Encoder::layer(size_t index, const Tensor& hidden, const Rows& rows, const LayerMixer& mix) const {
  const EncoderLayer& layer = layers_[index];
  const double p = rows.training ? spec_.hidden_dropout : 0;
  const After inner{.activation = spec_.activation, .dropout = rows.training ? spec_.inner_dropout : 0};
  if (!layer.attention_output.defined()) {
    const Tensor attended = layer.attention_norm(dropout(mix(index, hidden), p), hidden);
    return chain(attended, {{&layer.intermediate, inner},
                            {&layer.output, {.dropout = p, .residual = attended, .norm = &layer.output_norm}}});
  }
  if (spec_.norms == NormPlacement::after) {
    return chain(
        mix(index, hidden),
        {{&layer.attention_output, {.dropout = p, .residual = hidden, .norm = &layer.attention_norm}, -1, true},
         {&layer.intermediate, inner},
         {&layer.output, {.dropout = p, .norm = &layer.output_norm}, 0}});
  }
  const Tensor attended =
      layer.attention_output(mix(index, layer.attention_norm(hidden)), {.dropout = p, .residual = hidden});
  return chain(layer.output_norm(attended),
               {{&layer.intermediate, inner}, {&layer.output, {.dropout = p, .residual = attended}}});
}

// Without a tape a large batch goes through all layers in groups of sequences, so that what one layer hands to the next
// stays in cache. Each sequence's numbers are the same either way.
EncoderOutput Encoder::operator()(const Rows& rows) const {
  if (grad_enabled() || rows.training || rows.output_hidden_states || rows.rows() < 2 * kGroupRows) return run(rows);
  EncoderOutput output;
  for (int64_t first = 0; first < rows.batch();) {
    int64_t last = first;
    int64_t count = 0;
    do {
      count += rows.offsets.length(last++);
    } while (last < rows.batch() && count + rows.offsets.length(last) <= kGroupRows);
    if (first == 0 && last == rows.batch()) return run(rows);
    if (count > 0) {
      const Tensor hidden = run(rows.sequences(first, last)).hidden;
      if (!output.hidden.defined())
        output.hidden = Tensor::empty({rows.rows(), hidden.size(1)}, hidden.dtype(), hidden.device());
      output.hidden.slice(0, rows.offsets.begin(first), rows.offsets.begin(first) + count).copy_(hidden);
    }
    first = last;
  }
  return output;
}

EncoderOutput Encoder::run(const Rows& given) const {
  // Layers of a checkpoint run again when the caller's rows are gone.
  const auto held = grad_enabled() ? std::make_shared<const Rows>(given) : nullptr;
  const Rows& rows = held != nullptr ? *held : given;
  if (attention_ != nullptr && rows.prefix_length >= 0) {
    throw Error("a prefix of texts that are not read from left to right", "encoder",
                "this model only reads whole texts");
  }
  if (attention_ != nullptr && rows.prefix != nullptr) {
    throw Error("a prefix of keys and values", "encoder", "this model's attention takes none");
  }
  EncoderOutput output;
  Tensor x = embed(rows);
  const LayerMixer mix = attention_ != nullptr ? attention_->start(rows) : plain_attention(rows, x.dtype());
  Tensor embedded = convolution_.defined() ? x : Tensor();
  for (const size_t i : layer_of_) {
    if (rows.output_hidden_states) output.hidden_states.push_back(x);
    x = run_layer([this, i, x, held, &rows, mix] { return layer(i, x, rows, mix); });
    if (embedded.defined()) x = convolution_(std::exchange(embedded, Tensor()), x, rows);
  }
  if (final_norm_.defined()) x = final_norm_(x);
  x = dropout(x, rows.training ? spec_.final_dropout : 0);
  if (rows.output_hidden_states) output.hidden_states.push_back(x);
  output.hidden = x;
  return output;
}

Tensor Encoder::pool(const Tensor& hidden, const Rows& rows) const {
  if (!pooler_.defined()) throw Error("this model has no pooler", "encoder", "use last_hidden_state");
  return pooler_(first_rows(hidden, rows), {.activation = Activation::tanh});
}

}  // namespace mica
