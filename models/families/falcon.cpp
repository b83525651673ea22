// Falcon in its three layouts: one head of keys and values and one norm (7B), groups with two norms (40B, 180B), and
// parts in sequence with slopes in place of rotary positions (RW). Almazrouei et al. 2023.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec falcon(const Config& config) {
  const bool alibi = config.flag("alibi");
  StackSpec spec = decoder_spec(config, !alibi);
  const bool grouped = config.flag("new_decoder_architecture");
  const bool bias = config.flag("bias");
  spec.padding_idx = -1;
  spec.parallel = grouped || config.flag("parallel_attn");
  spec.names.word_embeddings = "word_embeddings";
  spec.names.layers = "h";
  spec.names.final_norm = "ln_f";
  if (grouped && config.integer("num_ln_in_parallel_attn", 2) == 2) {
    spec.names.attention_norm = "ln_attn";
    spec.names.mlp_norm = "ln_mlp";
  } else if (spec.parallel) {
    spec.names.mlp_norm = "";
  }
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.num_key_value_heads = grouped                      ? attention.num_key_value_heads
                                    : config.flag("multi_query") ? 1
                                                                 : attention.num_attention_heads;
    attention.layout = ProjectionLayout::grouped;
    attention.query_bias = attention.output_bias = bias;
    attention.names = {.query_key_value = "self_attention.query_key_value", .output = "self_attention.dense"};
    if (alibi) {
      attention.alibi = alibi_slopes(attention.num_attention_heads);
      for (double& slope : attention.alibi) slope *= attention.scale;  // added before the scores are scaled
    }
    layer.mlp.kind = MlpKind::plain;
    layer.mlp.bias = bias;
    layer.mlp.names = {.up = "mlp.dense_h_to_4h", .down = "mlp.dense_4h_to_h"};
  }
  return spec;
}

const ConfigSchema& falcon_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 65024, "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
    "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "hidden_dropout": 0.0, "attention_dropout": 0.0,
    "num_kv_heads": null, "alibi": false, "new_decoder_architecture": false, "multi_query": true,
    "parallel_attn": true, "bias": false, "max_position_embeddings": 2048, "rope_theta": 10000.0, "bos_token_id": 11,
    "eos_token_id": 11, "ffn_hidden_size": null, "activation": "gelu", "tie_word_embeddings": true})",
                                   {{"num_key_value_heads", "num_kv_heads"},
                                    {"intermediate_size", "ffn_hidden_size"},
                                    {"hidden_act", "activation"},
                                    {"layer_norm_eps", "layer_norm_epsilon"}}};
  return schema;
}

}  // namespace mica::families
