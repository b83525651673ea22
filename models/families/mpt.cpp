// MPT: no positions but a slope a head on distances, norms without bias, one matrix for queries, keys and values.
// MosaicML 2023.
#include "mica/base/error.h"
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec mpt(const Config& config) {
  StackSpec spec = decoder_spec(config, false);
  const Config settings =
      config.has("attn_config") ? config.object("attn_config") : Config::from_json("{}", config.where());
  for (const char* key : {"qk_ln", "prefix_lm", "attn_uses_sequence_id"}) {
    if (settings.flag(key))
      throw Error(std::string(key) + " is not supported for this family", settings.where(), "set it to false");
  }
  if (!settings.flag("alibi", true)) {
    throw Error("learned positions (alibi false) are not supported for this family", settings.where(),
                "use a model with alibi");
  }
  spec.padding_idx = -1;
  spec.norm.bias = false;
  spec.names = {.word_embeddings = "wte",
                .layers = "blocks",
                .attention_norm = "norm_1",
                .mlp_norm = "norm_2",
                .final_norm = "norm_f"};
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.alibi = alibi_slopes_of_power(attention.num_attention_heads, 8);  // whatever alibi_bias_max says
    attention.layout = ProjectionLayout::concatenated;
    attention.clip = settings.number("clip_qkv", 0);
    attention.scale = settings.number("softmax_scale", attention.scale);
    attention.dropout = settings.number("attn_pdrop", 0);
    attention.names = {.query_key_value = "attn.Wqkv", .output = "attn.out_proj"};
    layer.mlp.kind = MlpKind::plain;
    layer.mlp.intermediate_size = 4 * spec.hidden_size;  // whatever expansion_ratio says
    layer.mlp.names = {.up = "ffn.up_proj", .down = "ffn.down_proj"};
  }
  return spec;
}

const ConfigSchema& mpt_schema() {
  static const ConfigSchema schema{R"({
    "d_model": 2048, "n_heads": 16, "n_layers": 24, "expansion_ratio": 4, "max_seq_len": 2048, "vocab_size": 50368,
    "resid_pdrop": 0.0, "layer_norm_epsilon": 1e-5, "emb_pdrop": 0.0, "initializer_range": 0.02,
    "tie_word_embeddings": true, "hidden_act": "gelu", "intermediate_size": null})",
                                   {{"hidden_size", "d_model"},
                                    {"num_attention_heads", "n_heads"},
                                    {"num_hidden_layers", "n_layers"},
                                    {"max_position_embeddings", "max_seq_len"},
                                    {"layer_norm_eps", "layer_norm_epsilon"},
                                    {"hidden_dropout", "resid_pdrop"},
                                    {"embedding_dropout", "emb_pdrop"}}};
  return schema;
}

}  // namespace mica::families
