// GLM-4 is Llama with norms before and behind each part, biases on queries, keys and values, a fused gate, and half of
// each head rotated in neighbouring pairs. GLM team 2025.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec glm4(const Config& config) {
  StackSpec spec = llama(config);
  spec.names.attention_post_norm = "post_self_attn_layernorm";
  spec.names.mlp_post_norm = "post_mlp_layernorm";
  for (LayerSpec& layer : spec.layers) {
    layer.attention.output_bias = false;
    layer.attention.rotary_layout = RotaryLayout::interleaved;
    layer.mlp.kind = MlpKind::gated_fused;
  }
  return spec;
}

const ConfigSchema& glm4_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 151552, "hidden_size": 4096, "intermediate_size": 13696, "num_hidden_layers": 40,
    "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128, "hidden_act": "silu",
    "attention_dropout": 0.0, "max_position_embeddings": 131072, "initializer_range": 0.02,
    "rms_norm_eps": 1.5625e-7, "tie_word_embeddings": false, "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
    "pad_token_id": 151329, "eos_token_id": [151329, 151336, 151338], "attention_bias": true})",
                                   {}};
  return schema;
}

}  // namespace mica::families
