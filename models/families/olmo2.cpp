// OLMo 2 is Llama with norms behind each part in place of before it, and on all of the query and of the key.
// OLMo team 2024.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec olmo2(const Config& config) {
  StackSpec spec = llama(config);
  spec.names.attention_norm = "";
  spec.names.attention_post_norm = "post_attention_layernorm";
  spec.names.mlp_norm = "";
  spec.names.mlp_post_norm = "post_feedforward_layernorm";
  for (LayerSpec& layer : spec.layers) {
    layer.attention.query_key_norm = QueryKeyNorm::full;
    layer.attention.norm = spec.norm;
  }
  return spec;
}

const ConfigSchema& olmo2_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50304, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": null, "hidden_act": "silu", "max_position_embeddings": 2048,
    "initializer_range": 0.02, "pad_token_id": 1, "eos_token_id": 50279, "tie_word_embeddings": false,
    "rope_theta": 10000.0, "attention_bias": false, "attention_dropout": 0.0, "rms_norm_eps": 1e-5})",
                                   {}};
  return schema;
}

}  // namespace mica::families
