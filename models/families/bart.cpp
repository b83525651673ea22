// BART: norms behind the sums, learned positions behind two unused rows, a norm on the embeddings. Lewis et al. 2020.
// Where the encoder-decoders with named layers start.
#include <cmath>
#include <utility>

#include "mica/base/error.h"
#include "mica/models/families/families.h"

namespace mica::families {

namespace {

StackSpec half(const Config& config, bool decoder) {
  StackSpec spec = decoder_spec(config);
  const std::string side = decoder ? "decoder" : "encoder";
  spec.rotary.clear();
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

// Norms before each part, and one at the end.
void put_norms_before(StackSpec* spec) {
  StackNames& names = spec->names;
  std::swap(names.attention_norm, names.attention_sum_norm);
  std::swap(names.cross_norm, names.cross_sum_norm);
  std::swap(names.mlp_norm, names.mlp_sum_norm);
  names.final_norm = "layer_norm";
}

}  // namespace

EncoderDecoderSpec bart(const Config& config) {
  EncoderDecoderSpec spec;
  spec.encoder = half(config, false);
  spec.decoder = half(config, true);
  spec.pad_token_id = config.integer("pad_token_id", -1);
  spec.decoder_start_token_id = config.integer("decoder_start_token_id", -1);
  spec.decoder_reads_input = true;
  return spec;
}

// PLBART: BART that starts what it writes with the language's code. Ahmad et al. 2021.
EncoderDecoderSpec plbart(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  spec.wraps = true;
  return spec;
}

// mBART: PLBART with norms before each part. Liu et al. 2020.
EncoderDecoderSpec mbart(const Config& config) {
  EncoderDecoderSpec spec = plbart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) put_norms_before(stack);
  return spec;
}

// Pegasus: norms before each part, positions that start as sines. Zhang et al. 2020.
EncoderDecoderSpec pegasus(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) {
    put_norms_before(stack);
    stack->sinusoidal_start = true;
    stack->position_offset = 0;
    stack->names.embeddings_norm = "";
  }
  return spec;
}

// Marian: positions that start as sines, no norm on the embeddings; two vocabularies where files say so. Tiedemann et
// al. 2020.
EncoderDecoderSpec marian(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) {
    stack->sinusoidal_start = true;
    stack->position_offset = 0;
    stack->names.embeddings_norm = "";
  }
  if (!config.flag("share_encoder_decoder_embeddings", true)) {
    spec.shared = "";
    spec.decoder.vocab_size = config.integer_in("decoder_vocab_size", 1, 1 << 26);
    if (spec.decoder.padding_idx >= spec.decoder.vocab_size) spec.decoder.padding_idx = -1;
  }
  return spec;
}

// M2M-100: norms before each part, sinusoidal positions counted over tokens that are no padding. Fan et al. 2021. NLLB.
EncoderDecoderSpec m2m_100(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) {
    put_norms_before(stack);
    stack->positions = PositionTable::sinusoidal;
    stack->sinusoid = SinusoidKind::fairseq;
    stack->position_rule = PositionRule::from_padding;
    stack->position_offset = stack->padding_idx + 1;
    stack->position_padding_idx = stack->padding_idx;
    stack->names.embeddings_norm = "";
  }
  return spec;
}

// Blenderbot: norms before each part, learned positions from the first row on. Roller et al. 2020.
EncoderDecoderSpec blenderbot(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) {
    put_norms_before(stack);
    stack->position_offset = 0;
    stack->names.embeddings_norm = "";
  }
  return spec;
}

// Blenderbot-small: BART with learned positions from the first row on; its decoder normalises words before they get
// their positions.
EncoderDecoderSpec blenderbot_small(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) stack->position_offset = 0;
  spec.decoder.norm_before_positions = true;
  spec.decoder.embedding_scale = 1;
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

const ConfigSchema& plbart_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50005, "max_position_embeddings": 1024, "encoder_layers": 6, "encoder_ffn_dim": 3072,
    "encoder_attention_heads": 12, "decoder_layers": 6, "decoder_ffn_dim": 3072,
    "decoder_attention_heads": 12, "activation_function": "gelu", "d_model": 768, "dropout": 0.1,
    "attention_dropout": 0.0, "activation_dropout": 0.0, "init_std": 0.02, "classifier_dropout": 0.0,
    "scale_embedding": true, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    "decoder_start_token_id": null, "layer_norm_eps": 1e-5, "is_encoder_decoder": true,
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

const ConfigSchema& mbart_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50265, "max_position_embeddings": 1024, "encoder_layers": 12, "encoder_ffn_dim": 4096,
    "encoder_attention_heads": 16, "decoder_layers": 12, "decoder_ffn_dim": 4096,
    "decoder_attention_heads": 16, "activation_function": "gelu", "d_model": 1024, "dropout": 0.1,
    "attention_dropout": 0.0, "activation_dropout": 0.0, "init_std": 0.02, "classifier_dropout": 0.0,
    "scale_embedding": false, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    "decoder_start_token_id": null, "layer_norm_eps": 1e-5, "is_encoder_decoder": true,
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

const ConfigSchema& pegasus_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50265, "max_position_embeddings": 1024, "encoder_layers": 12, "encoder_ffn_dim": 4096,
    "encoder_attention_heads": 16, "decoder_layers": 12, "decoder_ffn_dim": 4096,
    "decoder_attention_heads": 16, "activation_function": "gelu", "d_model": 1024, "dropout": 0.1,
    "attention_dropout": 0.0, "activation_dropout": 0.0, "init_std": 0.02, "classifier_dropout": 0.0,
    "scale_embedding": false, "pad_token_id": 0, "bos_token_id": null, "eos_token_id": 1,
    "decoder_start_token_id": 0, "layer_norm_eps": 1e-5, "is_encoder_decoder": true,
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

const ConfigSchema& marian_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 58101, "max_position_embeddings": 1024, "encoder_layers": 12, "encoder_ffn_dim": 4096,
    "encoder_attention_heads": 16, "decoder_layers": 12, "decoder_ffn_dim": 4096,
    "decoder_attention_heads": 16, "activation_function": "gelu", "d_model": 1024, "dropout": 0.1,
    "attention_dropout": 0.0, "activation_dropout": 0.0, "init_std": 0.02, "classifier_dropout": 0.0,
    "scale_embedding": false, "pad_token_id": 58100, "bos_token_id": null, "eos_token_id": 0,
    "decoder_start_token_id": 58100, "layer_norm_eps": 1e-5, "is_encoder_decoder": true,
    "tie_word_embeddings": true,
    "share_encoder_decoder_embeddings": true, "decoder_vocab_size": null})",
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

const ConfigSchema& m2m_100_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 128112, "max_position_embeddings": 1024, "encoder_layers": 12, "encoder_ffn_dim": 4096,
    "encoder_attention_heads": 16, "decoder_layers": 12, "decoder_ffn_dim": 4096,
    "decoder_attention_heads": 16, "activation_function": "relu", "d_model": 1024, "dropout": 0.1,
    "attention_dropout": 0.0, "activation_dropout": 0.0, "init_std": 0.02, "classifier_dropout": 0.0,
    "scale_embedding": true, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
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

const ConfigSchema& blenderbot_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 8008, "max_position_embeddings": 128, "encoder_layers": 2, "encoder_ffn_dim": 10240,
    "encoder_attention_heads": 32, "decoder_layers": 24, "decoder_ffn_dim": 10240,
    "decoder_attention_heads": 32, "activation_function": "gelu", "d_model": 2560, "dropout": 0.1,
    "attention_dropout": 0.0, "activation_dropout": 0.0, "init_std": 0.02, "classifier_dropout": 0.0,
    "scale_embedding": false, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1, "layer_norm_eps": 1e-5, "is_encoder_decoder": true,
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

const ConfigSchema& blenderbot_small_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50265, "max_position_embeddings": 512, "encoder_layers": 8, "encoder_ffn_dim": 2048,
    "encoder_attention_heads": 16, "decoder_layers": 8, "decoder_ffn_dim": 2048,
    "decoder_attention_heads": 16, "activation_function": "gelu", "d_model": 512, "dropout": 0.1,
    "attention_dropout": 0.0, "activation_dropout": 0.0, "init_std": 0.02, "classifier_dropout": 0.0,
    "scale_embedding": false, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1, "layer_norm_eps": 1e-5, "is_encoder_decoder": true,
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

const HeadStyle& marian_heads() {
  static const HeadStyle style = [] {
    HeadStyle computed = bart_heads();
    computed.computes_positions = {Task::seq2seq_lm};
    return computed;
  }();
  return style;
}

const HeadStyle& m2m_100_heads() {
  static const HeadStyle style{.language = {.decoder = "lm_head"}};
  return style;
}

}  // namespace mica::families
