// DistilBERT is a shallower BERT without token types and pooler, with names of its own. Sanh et al. 2019.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec distilbert(const Config& config) {
  EncoderSpec spec = bert(config);
  spec.type_vocab_size = 0;
  EncoderNames& names = spec.names;
  names.query = "attention.q_lin";
  names.key = "attention.k_lin";
  names.value = "attention.v_lin";
  names.attention_output = "attention.out_lin";
  names.attention_norm = "sa_layer_norm";
  names.intermediate = "ffn.lin1";
  names.output = "ffn.lin2";
  names.output_norm = "output_layer_norm";
  names.pooler = "";
  for (size_t i = 0; i < spec.layer_names.size(); ++i) spec.layer_names[i] = "transformer.layer." + std::to_string(i);
  return spec;
}

const ConfigSchema& distilbert_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 30522, "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072, "activation": "gelu",
    "dropout": 0.1, "attention_dropout": 0.1, "max_position_embeddings": 512, "initializer_range": 0.02,
    "layer_norm_eps": 1e-12, "qa_dropout": 0.1, "seq_classif_dropout": 0.2, "sinusoidal_pos_embds": false,
    "pad_token_id": 0, "tie_word_embeddings": true})",
                                   {{"hidden_size", "dim"},
                                    {"num_hidden_layers", "n_layers"},
                                    {"num_attention_heads", "n_heads"},
                                    {"intermediate_size", "hidden_dim"},
                                    {"hidden_act", "activation"},
                                    {"hidden_dropout_prob", "dropout"},
                                    {"attention_probs_dropout_prob", "attention_dropout"}}};
  return schema;
}

const HeadStyle& distilbert_heads() {
  static const SentenceStyle sentence{
      .pooling = SentencePooling::first_token, .dense = "pre_classifier", .activation = Activation::relu};
  static const HeadStyle style{
      .language = {.dense = "vocab_transform",
                   .norm = "vocab_layer_norm",
                   .decoder = "vocab_projector",
                   .bias = "vocab_projector.bias"},
      .sequence = sentence,
      .choice = sentence,
  };
  return style;
}

}  // namespace mica::families
