#include "mica/models/architectures/decoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mica/base/error.h"
#include "mica/models/architectures/decoding.h"
#include "mica/models/architectures/limits.h"

namespace mica {

StackSpec decoder_spec(const Config& config, bool rotary) {
  StackSpec spec;
  spec.vocab_size = config.integer_in("vocab_size", 1, kMaxVocabulary);
  spec.hidden_size = config.integer_in("hidden_size", 1, kMaxSize);
  spec.embedding_size = spec.hidden_size;
  if (config.has("max_position_embeddings")) {
    spec.max_position_embeddings = config.integer_in("max_position_embeddings", 1, kMaxVocabulary);
  }
  if (config.has("pad_token_id")) spec.padding_idx = config.integer_in("pad_token_id", -1, spec.vocab_size - 1);
  LayerSpec layer;
  AttentionSpec& attention = layer.attention;
  attention.num_attention_heads = config.integer_in("num_attention_heads", 1, kMaxSize);
  attention.num_key_value_heads = config.has("num_key_value_heads")
                                      ? config.integer_in("num_key_value_heads", 1, kMaxSize)
                                      : attention.num_attention_heads;
  if (attention.num_attention_heads % attention.num_key_value_heads != 0) {
    throw Error("num_attention_heads " + std::to_string(attention.num_attention_heads) +
                    " is no multiple of num_key_value_heads " + std::to_string(attention.num_key_value_heads),
                config.where(), "change one of them");
  }
  if (config.has("head_dim")) {
    attention.head_dim = config.integer_in("head_dim", 1, kMaxSize);
  } else if (spec.hidden_size % attention.num_attention_heads != 0) {
    throw Error("hidden_size " + std::to_string(spec.hidden_size) + " is no multiple of num_attention_heads " +
                    std::to_string(attention.num_attention_heads),
                config.where(), "change one of them, or give head_dim");
  } else {
    attention.head_dim = spec.hidden_size / attention.num_attention_heads;
  }
  if (attention.head_dim * attention.num_attention_heads > kMaxSize) {
    throw Error("heads of " + std::to_string(attention.head_dim) + " elements, " +
                    std::to_string(attention.num_attention_heads) + " of them",
                config.where(), "that is more than " + std::to_string(kMaxSize));
  }
  attention.scale = 1 / std::sqrt(static_cast<double>(attention.head_dim));
  attention.rotary = rotary ? 0 : -1;
  layer.mlp.intermediate_size =
      config.has("intermediate_size") ? config.integer_in("intermediate_size", 1, kMaxSize) : 4 * spec.hidden_size;
  layer.mlp.activation = activation_from_name(config.text("hidden_act"));
  const auto dropout = [&](const char* key) { return config.has(key) ? config.number_in(key, 0, 0.999) : 0; };
  spec.hidden_dropout = dropout("hidden_dropout");
  spec.embedding_dropout = dropout("embedding_dropout");
  attention.dropout = dropout("attention_dropout");
  if (!config.has("rms_norm_eps")) spec.norm = {.eps = config.number_in("layer_norm_eps", 0, 1)};
  if (config.has("rms_norm_eps"))
    spec.norm = {.kind = NormKind::rms_norm, .eps = config.number_in("rms_norm_eps", 0, 1)};
  if (rotary) spec.rotary.push_back(rotary_spec(config, attention.head_dim));
  spec.repeat(layer, config.integer_in("num_hidden_layers", 0, kMaxLayers));
  return spec;
}

StackSpec reader_spec(const Config& config) {
  StackSpec spec = decoder_spec(config);
  for (LayerSpec& layer : spec.layers) layer.attention.causal = false;
  return spec;
}

void apply_layer_types(const Config& config, StackSpec* spec, int64_t window) {
  const std::vector<std::string> types = config.texts("layer_types");
  if (types.empty()) return;
  if (types.size() != spec->layers.size()) {
    throw Error("layer_types has " + std::to_string(types.size()) + " entries", config.where(),
                "it needs one for each of the " + std::to_string(spec->layers.size()) + " layers");
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] == "full_attention") continue;
    if (types[i] != "sliding_attention") {
      throw Error("layer_types holds \"" + printable(types[i]) + "\"", config.where(),
                  "this family has full_attention and sliding_attention");
    }
    spec->layers[i].attention.window = window > 0 ? window : config.integer_in("sliding_window", 1, kMaxVocabulary);
  }
}

void set_window(const Config& config, StackSpec* spec) {
  if (!config.has("sliding_window")) return;
  for (LayerSpec& layer : spec->layers) {
    layer.attention.window = config.integer_in("sliding_window", 1, kMaxVocabulary);
  }
}

ExpertsSpec experts_spec(const Config& config, const char* count_key) {
  ExpertsSpec spec;
  spec.num_experts = config.integer_in(count_key, 1, kMaxExperts);
  spec.num_experts_per_tok = config.integer_in("num_experts_per_tok", 1, spec.num_experts);
  spec.expert.activation = activation_from_name(config.text("hidden_act"));
  if (config.has("moe_intermediate_size")) {
    spec.expert.intermediate_size = config.integer_in("moe_intermediate_size", 1, kMaxSize);
  }
  spec.normalize = config.flag("norm_topk_prob");
  return spec;
}

void balance_routers(const Config& config, StackSpec* spec) {
  spec->balances_routers = config.flag("output_router_logits");
  spec->router_aux_loss_coef = config.number("router_aux_loss_coef");
}

void add_sparse_layers(const Config& config, const char* count_key, StackSpec* spec) {
  const std::vector<double> dense = config.numbers("mlp_only_layers");
  const int64_t step = config.integer_in("decoder_sparse_step", 1, kMaxLayers);
  for (size_t i = 0; i < spec->layers.size(); ++i) {
    const bool plain = std::find(dense.begin(), dense.end(), static_cast<double>(i)) != dense.end();
    if (!plain && static_cast<int64_t>(i + 1) % step == 0) spec->layers[i].experts = experts_spec(config, count_key);
  }
}

// What prefixes of a causal stack look like: all layers must take the same.
static void put_prefix(const StackSpec& spec, NetworkShape* shape) {
  if (spec.layers.empty() || spec.local_global || !shape->causal) return;
  const AttentionSpec& first = spec.layers[0].attention;
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& each = layer.attention;
    if (each.latent || each.head_dim != first.head_dim || each.num_key_value_heads != first.num_key_value_heads) return;
  }
  shape->prefix_layers = static_cast<int64_t>(spec.layers.size());
  shape->prefix_heads = first.num_key_value_heads;
  shape->prefix_head_dim = first.head_dim;
}

NetworkShape shape_of(const StackSpec& spec) {
  NetworkShape shape{
      .vocab_size = spec.vocab_size,
      .embedding_size = spec.embedding_size,
      .hidden_size = spec.project_sum ? spec.hidden_size : spec.embedding_size,  // as it leaves the stack
      .activation = spec.layers.empty() ? Activation::gelu : spec.layers[0].mlp.activation,
      .layer_norm_eps = spec.norm.eps,
      .norm_bias = spec.norm.bias,
      .padding_idx = spec.padding_idx,
      .logits_scale = spec.logits_scale,
      .logits_softcap = spec.logits_softcap,
      .hidden_scale = spec.hidden_scale,
      .max_tokens = spec.max_position_embeddings,
      .causal = spec.layers.empty() || spec.layers[0].attention.causal,
      .word_scale = spec.scaled == EmbeddingScale::table ? spec.embedding_scale : 1,
      .router_aux_loss_coef = spec.router_aux_loss_coef};
  put_prefix(spec, &shape);
  return shape;
}

StackNetwork::StackNetwork(const Scope& scope, StackSpec spec, bool with_pooler, const Tensor& shared_words)
    : stack_(scope, std::move(spec), shared_words), shape_(shape_of(stack_.spec())) {
  const std::string& pooler = stack_.spec().names.pooler;
  if (!with_pooler || pooler.empty()) return;
  pooler_ = Linear((scope / pooler).may_be_new(), shape_.hidden_size, shape_.hidden_size);
}

Tensor StackNetwork::pool(const Tensor& hidden, const Rows& rows) const {
  if (!pooler_.defined()) return Network::pool(hidden, rows);
  return pooler_(first_rows(hidden, rows), {.activation = Activation::tanh});
}

NetworkOutput StackNetwork::forward(const ModelInputs& inputs, Device device, bool training) const {
  NetworkOutput output;
  output.rows = to_rows(inputs, device);
  output.rows.training = training;
  Stack::Output result = stack_(output.rows);
  output.hidden = std::move(result.hidden);
  output.hidden_states = std::move(result.hidden_states);
  output.load_balancing_loss = std::move(result.load_balancing_loss);
  return output;
}

std::unique_ptr<DecodingState> StackNetwork::start_decoding(const ModelInputs&, int64_t batch, int64_t capacity,
                                                            Device device) const {
  if (!shape_.causal) return nullptr;
  std::vector<int64_t> windows;
  for (const LayerSpec& layer : stack_.spec().layers) windows.push_back(layer.attention.window);
  return std::make_unique<DecodingState>(KeyValueCache(windows, batch, capacity, device));
}

bool StackNetwork::prepare_steps(DecodingState* state, int64_t positions, Device device) const {
  std::optional<StepTables> tables = stack_.step_tables(positions, device);
  if (tables) state->set_step_tables(std::move(*tables));
  return tables.has_value();
}

Tensor StackNetwork::decode(const Rows& rows, DecodingState* state) const {
  return stack_(rows, &state->cache(), nullptr, state->step_tables()).hidden;
}

}  // namespace mica
