// OPT: learned positions behind two unused rows, counted over visible tokens; its smallest but one has narrower
// embeddings and norms behind the sums. Zhang et al. 2022.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec opt(const Config& config) {
  StackSpec spec = decoder_spec(config, false);
  const bool before = config.flag("do_layer_norm_before");
  const bool bias = config.flag("enable_bias");
  spec.norm.affine = config.flag("layer_norm_elementwise_affine", true);
  spec.embedding_size =
      config.has("word_embed_proj_dim") ? config.integer_in("word_embed_proj_dim", 1, 1 << 20) : spec.hidden_size;
  spec.positions = PositionTable::learned;
  spec.position_rule = PositionRule::from_mask;
  spec.position_offset = 2;
  spec.names = {.word_embeddings = "decoder.embed_tokens",
                .position_embeddings = "decoder.embed_positions",
                .project_in = "decoder.project_in",
                .project_out = "decoder.project_out",
                .layers = "decoder.layers",
                .attention_norm = before ? "self_attn_layer_norm" : "",
                .attention_sum_norm = before ? "" : "self_attn_layer_norm",
                .mlp_norm = before ? "final_layer_norm" : "",
                .mlp_sum_norm = before ? "" : "final_layer_norm",
                .final_norm = before && !config.flag("_remove_final_layer_norm") ? "decoder.final_layer_norm" : ""};
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.query_bias = attention.key_bias = attention.value_bias = attention.output_bias = bias;
    attention.names.output = "self_attn.out_proj";
    layer.mlp.kind = MlpKind::plain;
    layer.mlp.bias = bias;
    layer.mlp.names = {.up = "fc1", .down = "fc2"};
  }
  return spec;
}

const ConfigSchema& opt_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50272, "hidden_size": 768, "num_hidden_layers": 12, "ffn_dim": 3072, "max_position_embeddings": 2048,
    "do_layer_norm_before": true, "_remove_final_layer_norm": false, "word_embed_proj_dim": null, "dropout": 0.1,
    "attention_dropout": 0.0, "num_attention_heads": 12, "activation_function": "relu", "init_std": 0.02,
    "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2, "enable_bias": true,
    "layer_norm_elementwise_affine": true, "layer_norm_eps": 1e-5, "tie_word_embeddings": true})",
                                   {{"intermediate_size", "ffn_dim"},
                                    {"hidden_act", "activation_function"},
                                    {"hidden_dropout", "dropout"},
                                    {"initializer_range", "init_std"}}};
  return schema;
}

}  // namespace mica::families
