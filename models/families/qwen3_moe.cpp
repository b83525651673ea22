// Qwen3-MoE is Qwen3 whose MLPs are mixtures of experts. Yang et al. 2025.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec qwen3_moe(const Config& config) {
  StackSpec spec = qwen3(config);
  // A window is all layers', whatever max_window_layers says.
  for (LayerSpec& layer : spec.layers) layer.attention.window = 0;
  if (config.flag("use_sliding_window")) set_window(config, &spec);
  add_sparse_layers(config, "num_local_experts", &spec);
  balance_routers(config, &spec);
  return spec;
}

const ConfigSchema& qwen3_moe_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 24,
    "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": null, "hidden_act": "silu",
    "max_position_embeddings": 32768, "initializer_range": 0.02, "rms_norm_eps": 1e-6, "tie_word_embeddings": false,
    "rope_theta": 10000.0, "attention_bias": false, "use_sliding_window": false, "sliding_window": 4096,
    "max_window_layers": 28, "attention_dropout": 0.0, "decoder_sparse_step": 1, "moe_intermediate_size": 768,
    "num_experts_per_tok": 8, "output_router_logits": false, "router_aux_loss_coef": 0.001, "num_local_experts": 128, "norm_topk_prob": false, "mlp_only_layers": []})",
                                   {{"num_experts", "num_local_experts"}}};
  return schema;
}

}  // namespace mica::families
