// DeepSeek-V3 makes keys and values from a latent vector, and routes to experts by groups, with a correction that
// balances them. DeepSeek-AI 2024.
#include <cmath>

#include "mica/models/families/families.h"

namespace mica::families {

StackSpec deepseek_v3(const Config& config) {
  constexpr int64_t kMost = 1 << 20;
  StackSpec spec = llama(config);
  const LatentSpec latent{
      .query_rank = config.has("q_lora_rank") ? config.integer_in("q_lora_rank", 1, kMost) : 0,
      .key_value_rank = config.integer_in("kv_lora_rank", 1, kMost),
      .content_dim = config.integer_in("qk_nope_head_dim", 1, kMost),
      .rotary_dim = config.integer_in("qk_rope_head_dim", 2, kMost),
      .value_dim = config.integer_in("v_head_dim", 1, kMost),
      .norm = {.kind = NormKind::rms_norm, .eps = 1e-6},
  };
  spec.rotary = {rotary_spec(config, latent.rotary_dim)};
  double scale = 1 / std::sqrt(static_cast<double>(latent.content_dim + latent.rotary_dim));
  const double mscale = config.has("rope_parameters") ? config.object("rope_parameters").number("mscale_all_dim", 0)
                        : config.has("rope_scaling")  ? config.object("rope_scaling").number("mscale_all_dim", 0)
                                                      : 0;
  if (spec.rotary[0].kind == RotaryKind::yarn && mscale != 0 && spec.rotary[0].factor > 1) {
    const double stretch = 0.1 * mscale * std::log(spec.rotary[0].factor) + 1;
    scale *= stretch * stretch;
  }
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    LayerSpec& layer = spec.layers[i];
    layer.attention.latent = latent;
    layer.attention.scale = scale;
    if (config.flag("rope_interleave", true)) layer.attention.rotary_layout = RotaryLayout::interleaved;
    if (static_cast<int64_t>(i) < config.integer("first_k_dense_replace")) continue;
    ExpertsSpec& experts = layer.experts = experts_spec(config, "n_routed_experts");
    experts.router = RouterKind::sigmoid;
    experts.normalize = config.flag("norm_topk_prob");
    experts.scale = config.number("routed_scaling_factor");
    experts.num_groups = config.integer_in("n_group", 1, experts.num_experts);
    experts.num_chosen_groups = config.integer_in("topk_group", 1, experts.num_groups);
    experts.shared_intermediate_size =
        experts.expert.intermediate_size * config.integer_in("n_shared_experts", 1, 1024);
    experts.names.correction = "mlp.gate.e_score_correction_bias";
    experts.names.shared = "mlp.shared_experts";
  }
  return spec;
}

const ConfigSchema& deepseek_v3_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 129280, "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
    "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "n_shared_experts": 1,
    "n_routed_experts": 256, "routed_scaling_factor": 2.5, "kv_lora_rank": 512, "q_lora_rank": 1536,
    "qk_rope_head_dim": 64, "v_head_dim": 128, "qk_nope_head_dim": 128, "n_group": 8, "topk_group": 4,
    "num_experts_per_tok": 8, "first_k_dense_replace": 3, "norm_topk_prob": true, "hidden_act": "silu",
    "max_position_embeddings": 4096, "initializer_range": 0.02, "rms_norm_eps": 1e-6, "bos_token_id": 0,
    "eos_token_id": 1, "tie_word_embeddings": false, "rope_theta": 10000.0, "rope_interleave": true,
    "attention_bias": false, "attention_dropout": 0.0, "head_dim": 64})",
                                   {{"num_local_experts", "n_routed_experts"}}};
  return schema;
}

}  // namespace mica::families
