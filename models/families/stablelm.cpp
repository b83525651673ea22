// StableLM is Llama with layer norms, a quarter of each head rotated, and, if asked for, norms on each head's query
// and key, and parts that run side by side. Bellagente et al. 2024.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec stablelm(const Config& config) {
  StackSpec spec = decoder_spec(config);
  spec.parallel = config.flag("use_parallel_residual");
  if (spec.parallel) spec.names.mlp_norm = "";
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.query_bias = attention.key_bias = attention.value_bias = config.flag("use_qkv_bias");
    if (config.flag("qk_layernorm")) attention.query_key_norm = QueryKeyNorm::module_a_head;
    attention.norm = {.eps = spec.norm.eps, .bias = false};
    attention.names.query_norm = "self_attn.q_layernorm";
    attention.names.key_norm = "self_attn.k_layernorm";
  }
  return spec;
}

const ConfigSchema& stablelm_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50304, "intermediate_size": 6912, "hidden_size": 2560, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "hidden_act": "silu", "max_position_embeddings": 4096,
    "initializer_range": 0.02, "layer_norm_eps": 1e-5, "tie_word_embeddings": false, "rope_theta": 10000.0,
    "partial_rotary_factor": 0.25, "use_qkv_bias": false, "qk_layernorm": false, "use_parallel_residual": false,
    "hidden_dropout": 0.0, "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 0})",
                                   {}};
  return schema;
}

}  // namespace mica::families
