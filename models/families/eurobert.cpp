// EuroBERT is Llama reading both ways; its sentence head scores every token and takes the mean. Boizard et al. 2025.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec eurobert(const Config& config) {
  StackSpec spec = llama(config);
  for (LayerSpec& layer : spec.layers) layer.attention.causal = false;
  return spec;
}

const ConfigSchema& eurobert_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 128256, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "hidden_act": "silu", "max_position_embeddings": 8192, "initializer_range": 0.02,
    "rms_norm_eps": 1e-5, "pad_token_id": 128001, "bos_token_id": 128000, "eos_token_id": 128001,
    "mask_token_id": 128002, "pretraining_tp": 1, "tie_word_embeddings": false, "rope_theta": 10000.0,
    "attention_bias": false, "attention_dropout": 0.0, "mlp_bias": false, "classifier_pooling": "late"})",
                                   {}};
  return schema;
}

const HeadStyle& eurobert_heads() {
  static const HeadStyle style{
      .language = {.decoder = "lm_head", .bias = "lm_head.bias", .bias_key = "mlp_bias"},
      .sequence = {.pooling = SentencePooling::first_token,
                   .pooling_key = "classifier_pooling",
                   .dense = "dense",
                   .activation = Activation::gelu},
  };
  return style;
}

}  // namespace mica::families
