// RoBERTa is BERT whose positions start behind the padding index; its heads score the first token through a dense
// layer. Liu et al. 2019. XLM-RoBERTa, CamemBERT and data2vec-text share network and names.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec roberta(const Config& config) {
  EncoderSpec spec = bert(config);
  spec.positions = PositionKind::from_padding;
  spec.position_padding_idx = spec.padding_idx;
  return spec;
}

const ConfigSchema& roberta_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "is_decoder": false, "tie_word_embeddings": true,
    "classifier_dropout": null})",
                                   {}};
  return schema;
}

const HeadStyle& roberta_heads() {
  static const HeadStyle style{
      .language = {.dense = "lm_head.dense",
                   .norm = "lm_head.layer_norm",
                   .decoder = "lm_head.decoder",
                   .bias = "lm_head.bias",
                   .config_activation = false},
      .sequence = {.pooling = SentencePooling::first_token,
                   .dense = "classifier.dense",
                   .classifier = "classifier.out_proj"},
  };
  return style;
}

}  // namespace mica::families
