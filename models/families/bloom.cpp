// BLOOM: no positions but a slope a head on distances, a norm on the embeddings, and queries, keys and values side by
// side for each head. BigScience 2022.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec bloom(const Config& config) {
  StackSpec spec = decoder_spec(config, false);
  spec.padding_idx = -1;
  spec.residual_from_norm = config.flag("apply_residual_connection_post_layernorm");
  spec.names.word_embeddings = "word_embeddings";
  spec.names.embeddings_norm = "word_embeddings_layernorm";
  spec.names.layers = "h";
  spec.names.final_norm = "ln_f";
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.alibi = alibi_slopes(attention.num_attention_heads);
    attention.layout = ProjectionLayout::grouped;
    attention.query_bias = attention.output_bias = true;
    attention.names = {.query_key_value = "self_attention.query_key_value", .output = "self_attention.dense"};
    layer.mlp.kind = MlpKind::plain;
    layer.mlp.bias = true;
    layer.mlp.intermediate_size = 4 * spec.hidden_size;
    layer.mlp.names = {.up = "mlp.dense_h_to_4h", .down = "mlp.dense_4h_to_h"};
  }
  return spec;
}

const ConfigSchema& bloom_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 250880, "hidden_size": 64, "n_layer": 2, "n_head": 8, "layer_norm_epsilon": 1e-5,
    "initializer_range": 0.02, "bos_token_id": 1, "eos_token_id": 2, "apply_residual_connection_post_layernorm": false,
    "hidden_dropout": 0.0, "attention_dropout": 0.0, "tie_word_embeddings": true, "hidden_act": "gelu_pytorch_tanh",
    "intermediate_size": null, "max_position_embeddings": null})",
                                   {{"hidden_size", "n_embed"},
                                    {"num_hidden_layers", "n_layer"},
                                    {"num_attention_heads", "n_head"},
                                    {"layer_norm_eps", "layer_norm_epsilon"}}};
  return schema;
}

}  // namespace mica::families
