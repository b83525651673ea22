// The first GPT is GPT-2 with its norms behind the sums and none at the end. Radford et al. 2018.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec openai_gpt(const Config& config) {
  StackSpec spec = gpt2(config);
  spec.names.word_embeddings = "tokens_embed";
  spec.names.position_embeddings = "positions_embed";
  spec.names.attention_norm = spec.names.mlp_norm = spec.names.final_norm = "";
  spec.names.attention_sum_norm = "ln_1";
  spec.names.mlp_sum_norm = "ln_2";
  // Its "gelu" is the approximation by tanh.
  for (LayerSpec& layer : spec.layers) {
    if (layer.mlp.activation == Activation::gelu) layer.mlp.activation = Activation::gelu_tanh;
  }
  return spec;
}

const ConfigSchema& openai_gpt_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 40478, "n_positions": 512, "n_embd": 768, "n_layer": 12, "n_head": 12, "afn": "gelu",
    "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1, "layer_norm_epsilon": 1e-5, "initializer_range": 0.02,
    "n_inner": null, "tie_word_embeddings": true})",
                                   {{"hidden_size", "n_embd"},
                                    {"max_position_embeddings", "n_positions"},
                                    {"num_attention_heads", "n_head"},
                                    {"num_hidden_layers", "n_layer"},
                                    {"intermediate_size", "n_inner"},
                                    {"hidden_act", "afn"},
                                    {"layer_norm_eps", "layer_norm_epsilon"},
                                    {"attention_dropout", "attn_pdrop"},
                                    {"hidden_dropout", "resid_pdrop"},
                                    {"embedding_dropout", "embd_pdrop"}}};
  return schema;
}

}  // namespace mica::families
