// gpt-oss is Llama with a learned sink a head, a window in every other layer, and stacked experts with a clamped gate.
// OpenAI 2025.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec gpt_oss(const Config& config) {
  StackSpec spec = llama(config);
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    LayerSpec& layer = spec.layers[i];
    layer.attention.sinks = true;
    if (!config.has("layer_types") && i % 2 == 0) {
      layer.attention.window = config.integer_in("sliding_window", 1, INT32_MAX);
    }
    layer.experts = experts_spec(config, "num_local_experts");
    layer.experts.expert.intermediate_size = layer.mlp.intermediate_size;
    layer.experts.router = RouterKind::softmax_chosen;
    layer.experts.router_bias = true;
    layer.experts.stacked = true;
    layer.experts.limit = config.number("swiglu_limit");
    layer.experts.alpha = config.number("swiglu_alpha");
    layer.experts.names.router = "mlp.router";
  }
  apply_layer_types(config, &spec);
  balance_routers(config, &spec);
  return spec;
}

const ConfigSchema& gpt_oss_schema() {
  static const ConfigSchema schema{R"({
    "num_hidden_layers": 36, "num_local_experts": 128, "vocab_size": 201088, "hidden_size": 2880,
    "intermediate_size": 2880, "head_dim": 64, "num_attention_heads": 64, "num_key_value_heads": 8,
    "sliding_window": 128, "tie_word_embeddings": false, "hidden_act": "silu", "initializer_range": 0.02,
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 150000.0, "attention_dropout": 0.0,
    "num_experts_per_tok": 4, "output_router_logits": false, "router_aux_loss_coef": 0.001, "swiglu_alpha": 1.702, "swiglu_limit": 7.0, "attention_bias": true})",
                                   {{"num_experts", "num_local_experts"}}};
  return schema;
}

}  // namespace mica::families
