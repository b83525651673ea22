// ESM-2 reads proteins: norms before each part, rotary (ESM-1: absolute) positions; masked residues have no embedding,
// and the others of their sequence are scaled up instead. Lin et al. 2022, Rives et al. 2021.
#include "mica/base/error.h"
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec esm(const Config& config) {
  const std::string positions = config.text("position_embedding_type");
  const bool rotary = positions == "rotary";
  StackSpec spec = decoder_spec(config, rotary);
  if (!rotary && positions != "absolute") {
    throw Error("position_embedding_type \"" + printable(positions) + "\"", config.where(), "use rotary or absolute");
  }
  if (config.flag("add_cross_attention")) {
    throw Error("cross-attention is not supported for this family", config.where(), "set add_cross_attention to false");
  }
  if (!rotary) {
    spec.positions = PositionTable::learned;
    spec.position_rule = PositionRule::from_padding;
    spec.position_padding_idx = spec.padding_idx;
    spec.position_offset = spec.padding_idx + 1;
    spec.max_position_embeddings -= spec.position_offset;
  }
  spec.norm.old_names = true;
  spec.hidden_are_zero = true;
  if (config.flag("token_dropout")) {
    spec.zeroed_token_id = config.integer_in("mask_token_id", 0, spec.vocab_size - 1);
    spec.mask_share = 0.15 * 0.8;
  }
  spec.names = {.word_embeddings = "embeddings.word_embeddings",
                .position_embeddings = "embeddings.position_embeddings",
                .embeddings_norm = config.flag("emb_layer_norm_before") ? "embeddings.layer_norm" : "",
                .layers = "encoder.layer",
                .rotary = "encoder.layer.*.attention.self.rotary_embeddings",
                .attention_norm = "attention.LayerNorm",
                .mlp_norm = "LayerNorm",
                .final_norm = "encoder.emb_layer_norm_after",
                .pooler = "pooler.dense"};
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.causal = config.flag("is_decoder");
    attention.rotary = rotary ? 0 : -1;
    attention.query_bias = attention.key_bias = attention.value_bias = attention.output_bias = true;
    attention.names = {.query = "attention.self.query",
                       .key = "attention.self.key",
                       .value = "attention.self.value",
                       .output = "attention.output.dense"};
    layer.mlp.kind = MlpKind::plain;
    layer.mlp.activation = Activation::gelu;
    layer.mlp.bias = true;
    layer.mlp.names = {.up = "intermediate.dense", .down = "output.dense"};
  }
  spec.kept = {
      {"contact_head.regression", static_cast<int64_t>(spec.layers.size()) * config.integer("num_attention_heads"), 1}};
  return spec;
}

const ConfigSchema& esm_schema() {
  static const ConfigSchema schema{
      R"({
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 1026, "rope_theta": 10000.0, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute", "emb_layer_norm_before": null, "token_dropout": false,
    "is_decoder": false, "eos_token_id": 2, "tie_word_embeddings": true})",
      {{"hidden_dropout", "hidden_dropout_prob"}, {"attention_dropout", "attention_probs_dropout_prob"}}};
  return schema;
}

const HeadStyle& esm_heads() {
  static const HeadStyle style = [] {
    HeadStyle heads = roberta_heads();
    heads.language.bias_is_own = true;
    return heads;
  }();
  return style;
}

}  // namespace mica::families
