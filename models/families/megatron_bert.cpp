// Megatron-BERT is BERT with the norms before each block and one after the last; none follows the embeddings.
// Shoeybi et al. 2019.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec megatron_bert(const Config& config) {
  EncoderSpec spec = bert(config);
  spec.norms = NormPlacement::before;
  spec.names.embeddings_norm = "";
  spec.names.attention_norm = "attention.ln";
  spec.names.output_norm = "ln";
  spec.names.final_norm = "encoder.ln";
  return spec;
}

const ConfigSchema& megatron_bert_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 29056, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "intermediate_size": 4096, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "pad_token_id": 0, "is_decoder": false, "tie_word_embeddings": true})",
                                   {}};
  return schema;
}

}  // namespace mica::families
