// ELECTRA is BERT with embeddings of a size of their own and without a pooler; pre-training tells replaced tokens from
// original ones. Clark et al. 2020.
#include "mica/base/error.h"
#include "mica/models/architectures/limits.h"
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec electra(const Config& config) {
  if (config.text("summary_type") != "first" || !config.flag("summary_use_proj")) {
    throw Error("summary_type " + config.json("summary_type") + " with summary_use_proj " +
                    config.json("summary_use_proj") + " is not supported for this family",
                config.where(), "only \"first\" with true is");
  }
  EncoderSpec spec = bert(config);
  if (config.has("embedding_size")) spec.embedding_size = config.integer_in("embedding_size", 1, kMaxSize);
  spec.names.pooler = "";
  return spec;
}

const ConfigSchema& electra_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 30522, "embedding_size": 128, "hidden_size": 256, "num_hidden_layers": 12, "num_attention_heads": 4,
    "intermediate_size": 1024, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "summary_type": "first", "summary_use_proj": true, "summary_activation": "gelu", "summary_last_dropout": 0.1,
    "pad_token_id": 0, "is_decoder": false, "tie_word_embeddings": true, "classifier_dropout": null})",
                                   {}};
  return schema;
}

const HeadStyle& electra_heads() {
  static const HeadStyle style{
      .language = {.dense = "generator_predictions.dense",
                   .norm = "generator_predictions.LayerNorm",
                   .decoder = "generator_lm_head",
                   .bias = "generator_lm_head.bias",
                   .config_activation = false},
      .sequence = {.pooling = SentencePooling::first_token,
                   .dense = "classifier.dense",
                   .activation = Activation::gelu,
                   .classifier = "classifier.out_proj"},
      .choice = {.pooling = SentencePooling::first_token,
                 .dense = "sequence_summary.summary",
                 .activation = Activation::none,
                 .activation_key = "summary_activation"},
      .replaced_dense = "discriminator_predictions.dense",
      .replaced_projection = "discriminator_predictions.dense_prediction",
  };
  return style;
}

}  // namespace mica::families
