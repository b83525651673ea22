// GPT-2: learned positions, layer norms before each part, one matrix for queries, keys and values, weights stored as
// [in, out]. Radford et al. 2019. Where the GPT families start.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec gpt2(const Config& config) {
  StackSpec spec = decoder_spec(config, false);
  spec.positions = PositionTable::learned;
  spec.types_are_words = true;
  spec.padding_idx = -1;
  spec.names = {.word_embeddings = "wte",
                .position_embeddings = "wpe",
                .layers = "h",
                .attention_norm = "ln_1",
                .cross_norm = "ln_cross_attn",
                .mlp_norm = "ln_2",
                .final_norm = "ln_f"};
  const bool scaled = config.flag("scale_attn_weights", true);
  const bool by_layer = config.flag("scale_attn_by_inverse_layer_idx");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    AttentionSpec& attention = spec.layers[i].attention;
    attention.layout = ProjectionLayout::concatenated;
    attention.transposed = true;
    attention.query_bias = attention.output_bias = true;
    attention.scale = (scaled ? attention.scale : 1.0) / (by_layer ? static_cast<double>(i + 1) : 1.0);
    attention.names = {.query_key_value = "attn.c_attn", .output = "attn.c_proj"};
    MlpSpec& mlp = spec.layers[i].mlp;
    mlp.kind = MlpKind::plain;
    mlp.bias = mlp.transposed = true;
    mlp.names = {.up = "mlp.c_fc", .down = "mlp.c_proj"};
  }
  if (!config.flag("add_cross_attention")) return spec;
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec cross = layer.attention;
    cross.layout = ProjectionLayout::key_value;
    cross.key_bias = true;
    cross.names = {.query = "crossattention.q_attn",
                   .query_key_value = "crossattention.c_attn",
                   .output = "crossattention.c_proj"};
    layer.cross = cross;
  }
  return spec;
}

const ConfigSchema& gpt2_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": null,
    "activation_function": "gelu_new", "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
    "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "scale_attn_weights": true, "bos_token_id": 50256,
    "eos_token_id": 50256, "scale_attn_by_inverse_layer_idx": false, "tie_word_embeddings": true})",
                                   {{"hidden_size", "n_embd"},
                                    {"max_position_embeddings", "n_positions"},
                                    {"num_attention_heads", "n_head"},
                                    {"num_hidden_layers", "n_layer"},
                                    {"intermediate_size", "n_inner"},
                                    {"hidden_act", "activation_function"},
                                    {"layer_norm_eps", "layer_norm_epsilon"},
                                    {"attention_dropout", "attn_pdrop"},
                                    {"hidden_dropout", "resid_pdrop"},
                                    {"embedding_dropout", "embd_pdrop"}}};
  return schema;
}

const HeadStyle& gpt2_heads() {
  static const HeadStyle style{
      .language = {.decoder = "lm_head"},
      .sequence = {.pooling = SentencePooling::last_token, .classifier = "score", .bias = false},
      .causal_pretraining = true,
  };
  return style;
}

}  // namespace mica::families
