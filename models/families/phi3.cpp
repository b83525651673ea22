// Phi-3 is Llama with fused projections, a window if asked for, and long-text rotary factors. Abdin et al. 2024.
// Phi-4-mini is of this type.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec phi3(const Config& config) {
  StackSpec spec = llama(config);
  set_window(config, &spec);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.layout = ProjectionLayout::concatenated;
    layer.mlp.kind = MlpKind::gated_fused;
  }
  return spec;
}

const ConfigSchema& phi3_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": null, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
    "attention_dropout": 0.0, "hidden_act": "silu", "max_position_embeddings": 4096,
    "original_max_position_embeddings": 4096, "initializer_range": 0.02, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": false, "rope_theta": 10000.0, "partial_rotary_factor": 1.0, "bos_token_id": 1,
    "eos_token_id": 32000, "pad_token_id": 32000, "sliding_window": null})",
                                   {{"hidden_dropout", "resid_pdrop"}, {"embedding_dropout", "embd_pdrop"}}};
  return schema;
}

}  // namespace mica::families
