// Granite is Llama with multipliers on embeddings, scores, residuals and logits. IBM 2024.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec granite(const Config& config) {
  StackSpec spec = llama(config);
  spec.embedding_scale = config.number("embedding_multiplier");
  spec.scaled = EmbeddingScale::all;
  spec.residual_scale = config.number("residual_multiplier");
  spec.logits_scale = 1 / config.number_in("logits_scaling", 1e-9, 1e9);
  for (LayerSpec& layer : spec.layers) layer.attention.scale = config.number("attention_multiplier");
  return spec;
}

const ConfigSchema& granite_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": null, "hidden_act": "silu", "max_position_embeddings": 2048,
    "initializer_range": 0.02, "rms_norm_eps": 1e-6, "bos_token_id": 1, "eos_token_id": 2,
    "tie_word_embeddings": false, "rope_theta": 10000.0, "attention_bias": false, "attention_dropout": 0.0,
    "mlp_bias": false, "embedding_multiplier": 1.0, "logits_scaling": 1.0, "residual_multiplier": 1.0,
    "attention_multiplier": 1.0})",
                                   {}};
  return schema;
}

}  // namespace mica::families
