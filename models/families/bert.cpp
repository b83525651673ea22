// BERT is the baseline of the encoders. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2018.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec bert(const Config& config) {
  return encoder_spec(config);
}

const ConfigSchema& bert_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "pad_token_id": 0, "is_decoder": false, "tie_word_embeddings": true, "classifier_dropout": null})",
                                   {}};
  return schema;
}

const HeadStyle& bert_heads() {
  static const HeadStyle style{
      .language = {.dense = "cls.predictions.transform.dense",
                   .norm = "cls.predictions.transform.LayerNorm",
                   .decoder = "cls.predictions.decoder",
                   .bias = "cls.predictions.bias"},
      .order_classifier = "cls.seq_relationship",
      .order_output = "seq_relationship_logits",
      .order_label = "next_sentence_label",
  };
  return style;
}

}  // namespace mica::families
