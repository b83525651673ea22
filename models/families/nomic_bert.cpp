// Nomic BERT: BERT with rotary positions and gated MLPs in place of absolute positions and biases. Nussbaum et al.
// 2024.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec nomic_bert(const Config& given) {
  Config config = given;
  if (config.text("hidden_act") == "swiglu") config.set("hidden_act", "silu");  // the gate counts as a part of it
  StackSpec spec = reader_spec(config);
  spec.type_vocab_size = config.has("type_vocab_size") ? config.integer_in("type_vocab_size", 0, 1 << 20) : 0;
  spec.names = {.word_embeddings = "embeddings.word_embeddings",
                .type_embeddings = "embeddings.token_type_embeddings",
                .embeddings_norm = "emb_ln",
                .layers = "encoder.layers",
                .attention_norm = "",
                .attention_sum_norm = "norm1",
                .mlp_norm = "",
                .mlp_sum_norm = "norm2",
                .final_norm = "",
                .pooler = "pooler.dense"};
  for (LayerSpec& layer : spec.layers) {
    layer.attention.layout = ProjectionLayout::concatenated;
    layer.attention.names = {.query_key_value = "attn.Wqkv", .output = "attn.out_proj"};
    layer.mlp.names = {.gate = "mlp.fc12", .up = "mlp.fc11", .down = "mlp.fc2"};
  }
  return spec;
}

const ConfigSchema& nomic_bert_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 30528, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "silu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 2048, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
    "pad_token_id": 0, "classifier_dropout": null, "rope_theta": 1000.0, "tie_word_embeddings": true})",
                                   // The second spelling is that of files from before transformers knew the family.
                                   {{"hidden_size", "n_embd"},
                                    {"num_hidden_layers", "n_layer"},
                                    {"num_attention_heads", "n_head"},
                                    {"intermediate_size", "n_inner"},
                                    {"hidden_act", "activation_function"},
                                    {"max_position_embeddings", "n_positions"},
                                    {"layer_norm_eps", "layer_norm_epsilon"},
                                    {"rope_theta", "rotary_emb_base"},
                                    {"hidden_dropout", "hidden_dropout_prob"},
                                    {"embedding_dropout", "hidden_dropout_prob"},
                                    {"attention_dropout", "attention_probs_dropout_prob"}}};
  return schema;
}

const HeadStyle& nomic_bert_heads() {
  static const HeadStyle style{
      .language = {.dense = "cls.predictions.transform.dense",
                   .norm = "cls.predictions.transform.layer_norm",
                   .decoder = "cls.predictions.decoder",
                   .bias = "cls.predictions.bias"},
      .base_pools = false,
  };
  return style;
}

}  // namespace mica::families
