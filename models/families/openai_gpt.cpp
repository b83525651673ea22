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
    "vocab_size": 40478, "n_positions": 512, "afn": "gelu", "bos_token_id": null, "eos_token_id": null})",
                                   {{"hidden_act", "afn"}},
                                   &gpt2_schema()};
  return schema;
}

}  // namespace mica::families
