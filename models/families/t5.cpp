// T5: RMS norms before each part, no biases, no scale of scores, and a learned bias on bucketed distances that all
// layers share. Raffel et al. 2020. v1.1 and mT5 gate their MLPs.
#include <cmath>

#include "mica/base/error.h"
#include "mica/models/families/families.h"

namespace mica::families {

namespace {

// feed_forward_proj: "relu", or "gated-gelu", whose "gelu" is the approximation by tanh. Files say the two things that
// follow from it once more, and what they say there counts.
void apply_feed_forward(const Config& config, MlpSpec* mlp) {
  const std::string kind = config.text("feed_forward_proj");
  bool gated = kind.starts_with("gated-");
  std::string name = gated ? kind.substr(6) : kind;
  if (name.find('-') != std::string::npos) {
    throw Error("feed_forward_proj \"" + printable(kind) + "\"", config.where(),
                "use an activation's name, or gated- before one");
  }
  if (gated && name == "gelu") name = "gelu_new";
  gated = config.flag("is_gated_act", gated);
  name = config.text("dense_act_fn", name);
  mlp->kind = gated ? MlpKind::gated : MlpKind::plain;
  mlp->activation = activation_from_name(name);
}

StackSpec half(const Config& given, bool decoder, bool own_bias_each_layer) {
  Config config = given;
  if (decoder && config.has("num_decoder_layers")) {
    config.set("num_hidden_layers", config.integer_in("num_decoder_layers", 0, 4096));
  }
  StackSpec spec = decoder_spec(config, false);
  spec.padding_idx = -1;
  spec.max_position_embeddings = 0;
  spec.final_dropout = spec.hidden_dropout;
  spec.names = {.layers = "block",
                .attention_norm = "layer.0.layer_norm",
                .cross_norm = "layer.1.layer_norm",
                .mlp_norm = decoder ? "layer.2.layer_norm" : "layer.1.layer_norm",
                .final_norm = "final_layer_norm"};
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    LayerSpec& layer = spec.layers[i];
    AttentionSpec& attention = layer.attention;
    attention.causal = decoder;
    attention.scale = 1;
    const std::string self = "layer.0.SelfAttention.";
    attention.names = {.query = self + "q", .key = self + "k", .value = self + "v", .output = self + "o"};
    if (decoder) {
      layer.cross = attention;
      const std::string cross = "layer.1.EncDecAttention.";
      layer.cross->causal = false;
      layer.cross->names = {.query = cross + "q", .key = cross + "k", .value = cross + "v", .output = cross + "o"};
    }
    attention.relative = {.buckets = config.integer_in("relative_attention_num_buckets", 4, 1 << 16),
                          .max_distance = config.integer_in("relative_attention_max_distance", 1, 1 << 24),
                          .bidirectional = !decoder};
    if (i == 0 || own_bias_each_layer) attention.names.relative_bias = self + "relative_attention_bias";
    apply_feed_forward(config, &layer.mlp);
    layer.mlp.inner_dropout = spec.hidden_dropout;
    const std::string mlp = decoder ? "layer.2.DenseReluDense." : "layer.1.DenseReluDense.";
    const bool gated = layer.mlp.kind == MlpKind::gated;
    layer.mlp.names = {.gate = mlp + "wi_0", .up = mlp + (gated ? "wi_1" : "wi"), .down = mlp + "wo"};
  }
  return spec;
}

EncoderDecoderSpec both(const Config& config, bool own_bias_each_layer) {
  EncoderDecoderSpec spec;
  spec.encoder = half(config, false, own_bias_each_layer);
  spec.decoder = half(config, true, own_bias_each_layer);
  spec.pad_token_id = config.integer("pad_token_id", 0);
  spec.decoder_start_token_id = config.integer("decoder_start_token_id", spec.pad_token_id);
  spec.decoder_reads_input = true;
  return spec;
}

}  // namespace

EncoderDecoderSpec t5(const Config& config) {
  EncoderDecoderSpec spec = both(config, false);
  if (config.flag("scale_decoder_outputs", true)) {
    spec.decoder.hidden_scale = 1 / std::sqrt(static_cast<double>(spec.decoder.hidden_size));
  }
  return spec;
}

EncoderDecoderSpec mt5(const Config& config) {
  return both(config, false);
}

EncoderDecoderSpec umt5(const Config& config) {
  EncoderDecoderSpec spec = both(config, true);
  if (config.flag("scale_decoder_outputs", true)) {
    spec.decoder.hidden_scale = 1 / std::sqrt(static_cast<double>(spec.decoder.hidden_size));
  }
  return spec;
}

const ConfigSchema& t5_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_decoder_layers": null,
    "num_heads": 8, "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "dropout_rate": 0.1,
    "layer_norm_epsilon": 1e-6, "feed_forward_proj": "relu", "hidden_act": "relu", "pad_token_id": 0,
    "eos_token_id": 1, "classifier_dropout": 0.0, "is_encoder_decoder": true, "tie_word_embeddings": true})",
                                   {{"hidden_size", "d_model"},
                                    {"num_attention_heads", "num_heads"},
                                    {"num_hidden_layers", "num_layers"},
                                    {"head_dim", "d_kv"},
                                    {"intermediate_size", "d_ff"},
                                    {"rms_norm_eps", "layer_norm_epsilon"},
                                    {"hidden_dropout", "dropout_rate"},
                                    {"attention_dropout", "dropout_rate"},
                                    {"embedding_dropout", "dropout_rate"}}};
  return schema;
}

const ConfigSchema& mt5_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 250112, "d_ff": 1024, "num_layers": 8, "num_heads": 6, "feed_forward_proj": "gated-gelu",
    "decoder_start_token_id": 0})",
                                   {},
                                   &t5_schema()};
  return schema;
}

const HeadStyle& t5_heads() {
  static const HeadStyle style{
      .language = {.decoder = "lm_head"},
      .sequence = {.pooling = SentencePooling::end_token,
                   .dense = "classification_head.dense",
                   .classifier = "classification_head.out_proj"},
      .prefixes = {{Task::pretraining, ""}, {Task::seq2seq_lm, ""}, {Task::question_answering, ""}},
      .parts = {{Task::text_encoding, NetworkPart::encoder}, {Task::token_classification, NetworkPart::encoder}},
  };
  return style;
}

}  // namespace mica::families
