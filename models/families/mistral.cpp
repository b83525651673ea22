// Mistral is Llama with a sliding window, and a size of heads of its own. Jiang et al. 2023.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec mistral(const Config& config) {
  StackSpec spec = llama(config);
  set_window(config, &spec);
  return spec;
}

const ConfigSchema& mistral_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": null, "hidden_act": "silu",
    "max_position_embeddings": 131072, "initializer_range": 0.02, "rms_norm_eps": 1e-6, "bos_token_id": 1,
    "eos_token_id": 2, "tie_word_embeddings": false, "rope_theta": 10000.0, "sliding_window": 4096,
    "attention_dropout": 0.0})",
                                   {}};
  return schema;
}

}  // namespace mica::families
