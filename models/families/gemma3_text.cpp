// Gemma 3 is Gemma 2 with norms on queries and keys in place of the caps, five layers with a window to each that sees
// all, and rotary angles of their own for the two kinds. Gemma team 2025. EmbeddingGemma reads both ways.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec gemma3_text(const Config& config) {
  StackSpec spec = gemma2(config);
  const int64_t pattern = config.integer_in("sliding_window_pattern", 1, 1 << 20);
  const int64_t head_dim = spec.layers.empty() ? config.integer("head_dim") : spec.layers[0].attention.head_dim;
  spec.rotary = {rotary_spec(config, head_dim, "full_attention"), rotary_spec(config, head_dim, "sliding_attention")};
  if (!config.has("rope_parameters")) {
    // The old spelling's scaling is for the layers that see all.
    spec.rotary[1] = {.size = head_dim, .theta = config.number_in("rope_local_base_freq", 1, 1e12)};
  }
  const bool both_ways = config.flag("use_bidirectional_attention");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    AttentionSpec& attention = spec.layers[i].attention;
    attention.query_key_norm = QueryKeyNorm::per_head;
    attention.norm = spec.norm;
    attention.softcap = 0;  // whatever attn_logit_softcapping says
    if (!config.has("layer_types")) {
      const bool sees_all = static_cast<int64_t>(i + 1) % pattern == 0;
      attention.window = sees_all ? 0 : config.integer_in("sliding_window", 1, INT32_MAX);
    }
    attention.rotary = attention.window > 0 ? 1 : 0;
    if (both_ways) attention.window /= 2;
  }
  return spec;
}

const ConfigSchema& gemma3_text_schema() {
  static const ConfigSchema schema{
      R"({
    "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": 131072, "initializer_range": 0.02, "rms_norm_eps": 1e-6, "pad_token_id": 0,
    "eos_token_id": 1, "bos_token_id": 2, "tie_word_embeddings": true, "rope_theta": 1000000.0,
    "rope_local_base_freq": 10000.0, "attention_bias": false, "attention_dropout": 0.0, "query_pre_attn_scalar": 256,
    "sliding_window": 4096, "final_logit_softcapping": null, "attn_logit_softcapping": null,
    "_sliding_window_pattern": 6})",
      {{"hidden_act", "hidden_activation"}, {"sliding_window_pattern", "_sliding_window_pattern"}}};
  return schema;
}

}  // namespace mica::families
