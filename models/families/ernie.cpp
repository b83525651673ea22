// ERNIE is BERT with an optional embedding of the task. Sun et al. 2019 to 2021.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec ernie(const Config& config) {
  EncoderSpec spec = bert(config);
  if (config.flag("use_task_id")) spec.task_type_vocab_size = config.integer_in("task_type_vocab_size", 1, 1 << 20);
  return spec;
}

const ConfigSchema& ernie_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 2, "task_type_vocab_size": 3, "use_task_id": false,
    "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0, "is_decoder": false,
    "tie_word_embeddings": true, "classifier_dropout": null})",
                                   {}};
  return schema;
}

}  // namespace mica::families
