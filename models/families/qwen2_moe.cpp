// Qwen2-MoE is Qwen2 whose MLPs are mixtures of experts, with one more that every token passes through a gate.
// Qwen team 2024.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec qwen2_moe(const Config& config) {
  StackSpec spec = qwen2(config);
  add_sparse_layers(config, "num_experts", &spec);
  for (LayerSpec& layer : spec.layers) {
    if (layer.experts.num_experts == 0) continue;
    layer.experts.shared_intermediate_size = config.integer_in("shared_expert_intermediate_size", 1, 1 << 20);
    layer.experts.names.shared = "mlp.shared_expert";
    layer.experts.names.shared_gate = "mlp.shared_expert_gate";
  }
  balance_routers(config, &spec);
  return spec;
}

const ConfigSchema& qwen2_moe_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 24,
    "num_attention_heads": 16, "num_key_value_heads": 16, "hidden_act": "silu", "max_position_embeddings": 32768,
    "initializer_range": 0.02, "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "rope_theta": 10000.0,
    "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28, "attention_dropout": 0.0,
    "decoder_sparse_step": 1, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632,
    "num_experts_per_tok": 4, "output_router_logits": false, "router_aux_loss_coef": 0.001, "num_experts": 60, "norm_topk_prob": false, "mlp_only_layers": [], "qkv_bias": true})",
                                   {}};
  return schema;
}

}  // namespace mica::families
