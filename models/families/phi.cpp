// Phi runs attention and MLP side by side behind one layer norm, and rotates half of each head. Gunasekar et al. 2023.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec phi(const Config& config) {
  StackSpec spec = decoder_spec(config);
  spec.parallel = true;
  spec.names.mlp_norm = "";
  spec.names.final_norm = "final_layernorm";
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.query_bias = attention.key_bias = attention.value_bias = attention.output_bias = true;
    attention.names.output = "self_attn.dense";
    attention.names.query_norm = "self_attn.q_layernorm";
    attention.names.key_norm = "self_attn.k_layernorm";
    if (config.flag("qk_layernorm")) attention.query_key_norm = QueryKeyNorm::per_head;
    attention.norm = spec.norm;
    layer.mlp.kind = MlpKind::plain;
    layer.mlp.bias = true;
    layer.mlp.names = {.up = "mlp.fc1", .down = "mlp.fc2"};
  }
  return spec;
}

const ConfigSchema& phi_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 51200, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24,
    "num_attention_heads": 32, "num_key_value_heads": null, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
    "attention_dropout": 0.0, "hidden_act": "gelu_new", "max_position_embeddings": 2048, "initializer_range": 0.02,
    "layer_norm_eps": 1e-5, "tie_word_embeddings": false, "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
    "qk_layernorm": false, "bos_token_id": 1, "eos_token_id": 2})",
                                   {{"hidden_dropout", "resid_pdrop"}, {"embedding_dropout", "embd_pdrop"}}};
  return schema;
}

const HeadStyle& phi_heads() {
  static const HeadStyle style = [] {
    HeadStyle biased = decoder_heads();
    biased.language.bias = "lm_head.bias";
    return biased;
  }();
  return style;
}

}  // namespace mica::families
