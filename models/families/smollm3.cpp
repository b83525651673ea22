// SmolLM3 is Llama with no positions at all in every fourth layer. Bakouch et al. 2025.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec smollm3(const Config& config) {
  StackSpec spec = llama(config);
  const std::vector<double> rotated = config.numbers("no_rope_layers");  // 1: the layer has positions
  const int64_t interval = config.integer_in("no_rope_layer_interval", 1, 1 << 20);
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const bool has = i < rotated.size() ? rotated[i] != 0 : static_cast<int64_t>(i + 1) % interval != 0;
    if (!has) spec.layers[i].attention.rotary = -1;
    if (!has || config.has("layer_types") || !config.flag("use_sliding_window")) continue;
    spec.layers[i].attention.window = config.integer_in("sliding_window", 1, INT32_MAX);
  }
  apply_layer_types(config, &spec);
  return spec;
}

const ConfigSchema& smollm3_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
    "num_attention_heads": 16, "num_key_value_heads": 4, "hidden_act": "silu", "max_position_embeddings": 32768,
    "initializer_range": 0.02, "rms_norm_eps": 1e-6, "pad_token_id": 128004, "bos_token_id": 128000,
    "eos_token_id": 128001, "rope_theta": 2000000.0, "use_sliding_window": false, "sliding_window": null,
    "no_rope_layer_interval": 4, "attention_bias": false, "attention_dropout": 0.0, "mlp_bias": false,
    "tie_word_embeddings": true})",
                                   {}};
  return schema;
}

}  // namespace mica::families
