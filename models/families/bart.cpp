// BART: norms behind the sums, learned positions behind two unused rows, a norm on the embeddings. Lewis et al. 2020.
// Where the encoder-decoders with named layers start.
#include <cmath>
#include <utility>

#include "mica/base/error.h"
#include "mica/models/families/families.h"

namespace mica::families {

namespace {

StackSpec half(const Config& config, bool decoder) {
  StackSpec spec = decoder_spec(config, false);
  const std::string side = decoder ? "decoder" : "encoder";
  spec.positions = PositionTable::learned;
  spec.position_offset = 2;
  if (config.flag("scale_embedding")) spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  spec.names = {.embeddings_norm = "layernorm_embedding",
                .attention_norm = "",
                .attention_sum_norm = "self_attn_layer_norm",
                .cross_sum_norm = "encoder_attn_layer_norm",
                .mlp_norm = "",
                .mlp_sum_norm = "final_layer_norm",
                .final_norm = ""};
  LayerSpec layer;
  AttentionSpec& attention = layer.attention;
  attention.num_attention_heads = config.integer_in(side + "_attention_heads", 1, spec.hidden_size);
  attention.num_key_value_heads = attention.num_attention_heads;
  if (spec.hidden_size % attention.num_attention_heads != 0) {
    throw Error("d_model " + std::to_string(spec.hidden_size) + " is no multiple of " + side + "_attention_heads " +
                    std::to_string(attention.num_attention_heads),
                config.where(), "change one of them");
  }
  attention.head_dim = spec.hidden_size / attention.num_attention_heads;
  attention.scale = 1 / std::sqrt(static_cast<double>(attention.head_dim));
  attention.dropout = config.number_in("attention_dropout", 0, 0.999);
  attention.causal = decoder;
  attention.query_bias = attention.key_bias = attention.value_bias = attention.output_bias = true;
  attention.names.output = "self_attn.out_proj";
  if (decoder) {
    layer.cross = attention;
    layer.cross->causal = false;
    layer.cross->names = {.query = "encoder_attn.q_proj",
                          .key = "encoder_attn.k_proj",
                          .value = "encoder_attn.v_proj",
                          .output = "encoder_attn.out_proj"};
  }
  layer.mlp.kind = MlpKind::plain;
  layer.mlp.intermediate_size = config.integer_in(side + "_ffn_dim", 1, 1 << 20);
  layer.mlp.activation = activation_from_name(config.text("activation_function"));
  layer.mlp.bias = true;
  layer.mlp.inner_dropout = config.number_in("activation_dropout", 0, 0.999);
  layer.mlp.names = {.up = "fc1", .down = "fc2"};
  spec.repeat(layer, config.integer_in(side + "_layers", 0, 4096));
  return spec;
}

}  // namespace

EncoderDecoderSpec bart(const Config& config) {
  EncoderDecoderSpec spec;
  spec.encoder = half(config, false);
  spec.decoder = half(config, true);
  spec.pad_token_id = config.integer("pad_token_id", -1);
  spec.decoder_start_token_id = config.integer("decoder_start_token_id", -1);
  spec.decoder_reads_input = true;
  spec.ties_tables = config.flag("tie_word_embeddings");
  return spec;
}

const ConfigSchema& bart_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50265, "max_position_embeddings": 1024, "encoder_layers": 12, "encoder_ffn_dim": 4096,
    "encoder_attention_heads": 16, "decoder_layers": 12, "decoder_ffn_dim": 4096,
    "decoder_attention_heads": 16, "activation_function": "gelu", "d_model": 1024, "dropout": 0.1,
    "attention_dropout": 0.0, "activation_dropout": 0.0, "init_std": 0.02, "classifier_dropout": 0.0,
    "scale_embedding": false, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    "decoder_start_token_id": 2, "layer_norm_eps": 1e-5, "is_encoder_decoder": true,
    "tie_word_embeddings": true})",
                                   {{"hidden_size", "d_model"},
                                    {"num_attention_heads", "encoder_attention_heads"},
                                    {"num_hidden_layers", "encoder_layers"},
                                    {"intermediate_size", "encoder_ffn_dim"},
                                    {"hidden_act", "activation_function"},
                                    {"hidden_dropout", "dropout"},
                                    {"embedding_dropout", "dropout"},
                                    {"initializer_range", "init_std"}}};
  return schema;
}

const HeadStyle& bart_heads() {
  static const HeadStyle style{
      .language = {.decoder = "lm_head", .bias = "final_logits_bias", .bias_is_buffer = true},
      .sequence = {.pooling = SentencePooling::end_token,
                   .dense = "classification_head.dense",
                   .classifier = "classification_head.out_proj"},
      .parts = {{Task::causal_lm, NetworkPart::decoder}},
      .shifts_labels = false,
  };
  return style;
}

}  // namespace mica::families
