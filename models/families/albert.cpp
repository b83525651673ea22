// ALBERT is BERT with small embeddings projected up and layers that share their weights by groups. Lan et al. 2019.
#include "mica/base/error.h"
#include "mica/models/architectures/limits.h"
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec albert(const Config& config) {
  EncoderSpec spec = bert(config);
  if (config.has("embedding_size")) spec.embedding_size = config.integer_in("embedding_size", 1, kMaxSize);
  spec.project_always = true;
  EncoderNames& names = spec.names;
  names.embeddings_project = "encoder.embedding_hidden_mapping_in";
  names.query = "attention.query";
  names.key = "attention.key";
  names.value = "attention.value";
  names.attention_output = "attention.dense";
  names.attention_norm = "attention.LayerNorm";
  names.intermediate = "ffn";
  names.output = "ffn_output";
  names.output_norm = "full_layer_layer_norm";
  names.pooler = "pooler";
  // Layer i of n runs all inner layers of group floor(i / (n / groups)).
  const int64_t layers = spec.num_hidden_layers;
  const int64_t groups = config.integer_in("num_hidden_groups", 1, 4096);
  const int64_t inner = config.integer_in("inner_group_num", 1, 4096);
  if (layers * inner > 4096) {
    throw Error(std::to_string(layers) + " layers of " + std::to_string(inner) + " inner ones", config.where(),
                "num_hidden_layers times inner_group_num may be at most 4096");
  }
  spec.layer_names.clear();
  for (int64_t i = 0; i < layers; ++i) {
    const std::string group = "encoder.albert_layer_groups." + std::to_string(i * groups / layers) + ".albert_layers.";
    for (int64_t k = 0; k < inner; ++k) spec.layer_names.push_back(group + std::to_string(k));
  }
  return spec;
}

const ConfigSchema& albert_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 30000, "embedding_size": 128, "hidden_size": 4096, "num_hidden_layers": 12, "num_hidden_groups": 1,
    "num_attention_heads": 64, "intermediate_size": 16384, "inner_group_num": 1, "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0, "max_position_embeddings": 512, "type_vocab_size": 2,
    "initializer_range": 0.02, "layer_norm_eps": 1e-12, "classifier_dropout_prob": 0.1, "pad_token_id": 0,
    "bos_token_id": 2, "eos_token_id": 3, "tie_word_embeddings": true})",
                                   {}};
  return schema;
}

const HeadStyle& albert_heads() {
  static const HeadStyle style{
      .language = {.dense = "predictions.dense",
                   .norm = "predictions.LayerNorm",
                   .decoder = "predictions.decoder",
                   .bias = "predictions.bias"},
      .order_classifier = "sop_classifier.classifier",
      .order_output = "sop_logits",
      .order_label = "sentence_order_label",
  };
  return style;
}

}  // namespace mica::families
