// MPNet is RoBERTa without token types and with one bucketed bias on relative positions, shared by all layers.
// Song et al. 2020.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec mpnet(const Config& config) {
  EncoderSpec spec = roberta(config);
  spec.type_vocab_size = 0;
  spec.position_padding_idx = 1;  // the network's own constant, whatever the config's padding token
  spec.padding_idx = 1;
  spec.relative_buckets = 32;  // the network's own constant as well; the config's number is that of the table's rows
  spec.relative_rows = config.integer_in("relative_attention_num_buckets", spec.relative_buckets, 1 << 16);
  EncoderNames& names = spec.names;
  names.query = "attention.attn.q";
  names.key = "attention.attn.k";
  names.value = "attention.attn.v";
  names.attention_output = "attention.attn.o";
  names.attention_norm = "attention.LayerNorm";
  return spec;
}

const ConfigSchema& mpnet_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 30527, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "relative_attention_num_buckets": 32, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    "tie_word_embeddings": true})",
                                   {}};
  return schema;
}

const HeadStyle& mpnet_heads() {
  return roberta_heads();
}

}  // namespace mica::families
