// Llama is the baseline of the decoders: RMS norms before each part, rotary positions, grouped heads, a gated MLP.
// Touvron et al. 2023. Code Llama, Vicuna, Yi, SmolLM and TinyLlama are of this type.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec llama(const Config& config) {
  StackSpec spec = decoder_spec(config);
  // Older files' padding token -1 is no token, but a row of the table: counted from its end.
  if (config.integer("pad_token_id", 0) == -1) spec.padding_idx = spec.vocab_size - 1;
  const bool bias = config.flag("attention_bias");
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.query_bias = attention.key_bias = attention.value_bias = attention.output_bias = bias;
    layer.mlp.bias = config.flag("mlp_bias");
  }
  return spec;
}

const ConfigSchema& llama_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": null, "hidden_act": "silu", "max_position_embeddings": 2048,
    "initializer_range": 0.02, "rms_norm_eps": 1e-6, "bos_token_id": 1, "eos_token_id": 2,
    "tie_word_embeddings": false, "rope_theta": 10000.0, "attention_bias": false, "attention_dropout": 0.0,
    "mlp_bias": false, "head_dim": null})",
                                   {}};
  return schema;
}

const HeadStyle& llama_heads() {
  static const HeadStyle style = [] {
    HeadStyle same = decoder_heads();
    same.prefixes = {{Task::question_answering, "transformer"}};
    return same;
  }();
  return style;
}

const HeadStyle& decoder_heads() {
  static const HeadStyle style{
      .language = {.decoder = "lm_head"},
      .sequence = {.pooling = SentencePooling::last_token, .classifier = "score", .bias = false},
      .token = "score",
  };
  return style;
}

}  // namespace mica::families
