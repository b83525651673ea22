// Gemma 2 is Gemma with norms before and behind each part, capped scores and logits, and a window in every other
// layer. Gemma team 2024.
#include <cmath>

#include "mica/models/families/families.h"

namespace mica::families {

StackSpec gemma2(const Config& config) {
  StackSpec spec = gemma(config);
  spec.names.attention_post_norm = "post_attention_layernorm";
  spec.names.mlp_norm = "pre_feedforward_layernorm";
  spec.names.mlp_post_norm = "post_feedforward_layernorm";
  spec.logits_softcap = config.number("final_logit_softcapping", 0);
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    AttentionSpec& attention = spec.layers[i].attention;
    spec.layers[i].mlp.activation = activation_from_name(config.text("hidden_act"));  // "gelu" is what it says
    attention.softcap = config.number("attn_logit_softcapping", 0);
    attention.scale = 1 / std::sqrt(config.number_in("query_pre_attn_scalar", 1e-6, 1e9));
    if (!config.has("layer_types") && i % 2 == 0) attention.window = config.integer_in("sliding_window", 1, INT32_MAX);
  }
  apply_layer_types(config, &spec);
  return spec;
}

const ConfigSchema& gemma2_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": 8192, "initializer_range": 0.02, "rms_norm_eps": 1e-6, "pad_token_id": 0,
    "eos_token_id": 1, "bos_token_id": 2, "tie_word_embeddings": true, "rope_theta": 10000.0, "attention_bias": false,
    "attention_dropout": 0.0, "query_pre_attn_scalar": 256, "sliding_window": 4096, "final_logit_softcapping": 30.0,
    "attn_logit_softcapping": 50.0})",
                                   {{"hidden_act", "hidden_activation"}}};
  return schema;
}

}  // namespace mica::families
