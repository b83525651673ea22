// BERT-generation is BERT without token types and pooler; its language head has no transform. Rothe et al. 2019.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec bert_generation(const Config& config) {
  EncoderSpec spec = bert(config);
  spec.type_vocab_size = 0;
  spec.names.pooler = "";
  return spec;
}

const ConfigSchema& bert_generation_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50358, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "intermediate_size": 4096, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    "is_decoder": false, "tie_word_embeddings": true})",
                                   {}};
  return schema;
}

const HeadStyle& bert_generation_heads() {
  static const HeadStyle style{.language = {.decoder = "lm_head.decoder", .bias = "lm_head.bias"}};
  return style;
}

}  // namespace mica::families
