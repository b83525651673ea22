// GPT-NeoX runs attention and MLP side by side, each behind a layer norm of its own, and rotates a quarter of each
// head. Black et al. 2022. Pythia and Dolly are of this type.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec gpt_neox(const Config& config) {
  StackSpec spec = decoder_spec(config);
  const bool bias = config.flag("attention_bias", true);
  spec.padding_idx = -1;
  spec.parallel = config.flag("use_parallel_residual");
  spec.names.word_embeddings = "embed_in";
  spec.names.final_norm = "final_layer_norm";
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.layout = ProjectionLayout::grouped;
    attention.query_bias = attention.output_bias = bias;
    attention.names = {.query_key_value = "attention.query_key_value", .output = "attention.dense"};
    layer.mlp.kind = MlpKind::plain;
    layer.mlp.bias = true;
    layer.mlp.names = {.up = "mlp.dense_h_to_4h", .down = "mlp.dense_4h_to_h"};
  }
  return spec;
}

const ConfigSchema& gpt_neox_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50432, "hidden_size": 6144, "num_hidden_layers": 44, "num_attention_heads": 64,
    "intermediate_size": 24576, "hidden_act": "gelu", "attention_dropout": 0.0, "hidden_dropout": 0.0,
    "classifier_dropout": 0.1, "max_position_embeddings": 2048, "initializer_range": 0.02, "layer_norm_eps": 1e-5,
    "bos_token_id": 0, "eos_token_id": 2, "tie_word_embeddings": false, "use_parallel_residual": true,
    "rope_theta": 10000.0, "partial_rotary_factor": 0.25, "attention_bias": true})",
                                   {{"partial_rotary_factor", "rotary_pct"}, {"rope_theta", "rotary_emb_base"}}};
  return schema;
}

const HeadStyle& gpt_neox_heads() {
  static const HeadStyle style{
      .language = {.decoder = "embed_out"},
      .sequence = {.pooling = SentencePooling::last_token, .classifier = "score", .bias = false},
  };
  return style;
}

}  // namespace mica::families
