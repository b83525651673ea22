// Qwen3 is Llama with an RMS norm on each head's query and key. Yang et al. 2025.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec qwen3(const Config& config) {
  StackSpec spec = qwen2(config);
  const bool bias = config.flag("attention_bias");
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.query_bias = attention.key_bias = attention.value_bias = attention.output_bias = bias;
    attention.query_key_norm = QueryKeyNorm::per_head;
    attention.norm = spec.norm;
  }
  return spec;
}

const ConfigSchema& qwen3_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "head_dim": 128, "hidden_act": "silu",
    "max_position_embeddings": 32768, "initializer_range": 0.02, "rms_norm_eps": 1e-6, "tie_word_embeddings": false,
    "rope_theta": 10000.0, "attention_bias": false, "use_sliding_window": false, "sliding_window": 4096,
    "max_window_layers": 28, "attention_dropout": 0.0})",
                                   {}};
  return schema;
}

}  // namespace mica::families
