// Qwen2 is Llama with biases on queries, keys and values, and, if asked for, a window in its upper layers.
// Yang et al. 2024. Qwen2.5 and QwQ are of this type.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec qwen2(const Config& config) {
  StackSpec spec = llama(config);
  const bool bias = config.flag("qkv_bias", true);
  const bool windows = config.flag("use_sliding_window");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    AttentionSpec& attention = spec.layers[i].attention;
    attention.query_bias = attention.key_bias = attention.value_bias = bias;
    if (windows && !config.has("layer_types") && static_cast<int64_t>(i) >= config.integer("max_window_layers")) {
      attention.window = config.integer_in("sliding_window", 1, INT32_MAX);
    }
  }
  apply_layer_types(config, &spec);
  return spec;
}

const ConfigSchema& qwen2_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 32, "hidden_act": "silu", "max_position_embeddings": 32768,
    "initializer_range": 0.02, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "rope_theta": 10000.0,
    "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28, "attention_dropout": 0.0})",
                                   {}};
  return schema;
}

}  // namespace mica::families
