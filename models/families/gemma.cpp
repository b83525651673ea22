// Gemma is Llama with embeddings scaled by the root of their size, norms that hold weight - 1, and a GELU gate.
// Gemma team 2024.
#include <cmath>

#include "mica/models/families/families.h"

namespace mica::families {

StackSpec gemma(const Config& config) {
  StackSpec spec = llama(config);
  spec.norm.weight_offset = 1;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  // The published files say "gelu" and mean the approximation by tanh, with which they were trained.
  for (LayerSpec& layer : spec.layers) {
    if (config.text("hidden_act") == "gelu") layer.mlp.activation = Activation::gelu_tanh;
  }
  if (config.flag("use_bidirectional_attention")) {
    for (LayerSpec& layer : spec.layers) layer.attention.causal = false;
  }
  return spec;
}

const ConfigSchema& gemma_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 256000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28,
    "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
    "max_position_embeddings": 8192, "initializer_range": 0.02, "rms_norm_eps": 1e-6, "pad_token_id": 0,
    "eos_token_id": 1, "bos_token_id": 2, "tie_word_embeddings": true, "rope_theta": 10000.0, "attention_bias": false,
    "attention_dropout": 0.0})",
                                   {}};
  return schema;
}

}  // namespace mica::families
