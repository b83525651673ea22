// Mixtral is Mistral whose MLPs are mixtures of experts. Jiang et al. 2024.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec mixtral(const Config& config) {
  StackSpec spec = mistral(config);
  for (LayerSpec& layer : spec.layers) {
    layer.experts = experts_spec(config, "num_local_experts");
    layer.experts.expert.intermediate_size = layer.mlp.intermediate_size;
    layer.experts.normalize = true;
    layer.experts.names = {.router = "block_sparse_moe.gate",
                           .experts = "block_sparse_moe.experts",
                           .expert = {.gate = "w1", .up = "w3", .down = "w2"}};
  }
  balance_routers(config, &spec);
  return spec;
}

const ConfigSchema& mixtral_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": null, "hidden_act": "silu",
    "max_position_embeddings": 131072, "initializer_range": 0.02, "rms_norm_eps": 1e-5, "bos_token_id": 1,
    "eos_token_id": 2, "tie_word_embeddings": false, "sliding_window": null, "attention_dropout": 0.0,
    "num_experts_per_tok": 2, "output_router_logits": false, "router_aux_loss_coef": 0.001, "num_local_experts": 8, "rope_theta": 1000000.0})",
                                   {{"num_experts", "num_local_experts"}}};
  return schema;
}

}  // namespace mica::families
