// Cohere's Command runs attention and MLP side by side behind one layer norm without bias, rotates neighbouring
// elements, and scales its logits. Cohere 2024.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec cohere(const Config& config) {
  StackSpec spec = llama(config);
  spec.parallel = true;
  spec.norm.bias = false;
  spec.names.mlp_norm = "";
  spec.logits_scale = config.number("logit_scale");
  for (LayerSpec& layer : spec.layers) {
    layer.attention.rotary_layout = RotaryLayout::interleaved;
    layer.attention.norm = spec.norm;
    if (config.flag("use_qk_norm")) layer.attention.query_key_norm = QueryKeyNorm::each_head;
  }
  return spec;
}

const ConfigSchema& cohere_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 256000, "hidden_size": 8192, "intermediate_size": 22528, "logit_scale": 0.0625,
    "num_hidden_layers": 40, "num_attention_heads": 64, "num_key_value_heads": null, "hidden_act": "silu",
    "max_position_embeddings": 8192, "initializer_range": 0.02, "layer_norm_eps": 1e-5, "pad_token_id": 0,
    "bos_token_id": 5, "eos_token_id": 255001, "tie_word_embeddings": true, "rope_theta": 500000.0,
    "attention_bias": false, "attention_dropout": 0.0, "use_qk_norm": false})",
                                   {}};
  return schema;
}

}  // namespace mica::families
