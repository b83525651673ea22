// GPT-BigCode is GPT-2 with one head of keys and values for all queries. Allal et al. 2023 (SantaCoder, StarCoder).
#include "mica/base/error.h"
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec gpt_bigcode(const Config& config) {
  if (config.flag("add_cross_attention")) {
    throw Error("cross-attention is not supported for this family", config.where(), "set add_cross_attention to false");
  }
  StackSpec spec = gpt2(config);
  const bool shared = config.flag("multi_query");
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.num_key_value_heads = shared ? 1 : attention.num_attention_heads;
    attention.layout = shared ? ProjectionLayout::concatenated : ProjectionLayout::grouped;
    attention.transposed = layer.mlp.transposed = false;
  }
  return spec;
}

const ConfigSchema& gpt_bigcode_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": null,
    "activation_function": "gelu_pytorch_tanh", "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
    "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "scale_attn_weights": true, "bos_token_id": 50256,
    "eos_token_id": 50256, "multi_query": true, "tie_word_embeddings": true})",
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

}  // namespace mica::families
