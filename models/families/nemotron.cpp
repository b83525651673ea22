// Nemotron is Llama with layer norms that hold weight - 1, a plain squared-ReLU MLP, and half of each head rotated.
// Parmar et al. 2024.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec nemotron(const Config& config) {
  StackSpec spec = llama(config);
  spec.norm.weight_offset = 1;
  for (LayerSpec& layer : spec.layers) layer.mlp.kind = MlpKind::plain;
  return spec;
}

const ConfigSchema& nemotron_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 256000, "hidden_size": 6144, "intermediate_size": 24576, "num_hidden_layers": 32,
    "num_attention_heads": 48, "head_dim": null, "num_key_value_heads": null, "hidden_act": "relu2",
    "max_position_embeddings": 4096, "initializer_range": 0.0134, "norm_eps": 1e-5, "bos_token_id": 2,
    "eos_token_id": 3, "tie_word_embeddings": false, "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
    "attention_bias": false, "attention_dropout": 0.0, "mlp_bias": false})",
                                   {{"layer_norm_eps", "norm_eps"}}};
  return schema;
}

}  // namespace mica::families
