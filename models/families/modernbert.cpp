// ModernBERT: rotary positions, gated MLPs, no biases, norms before each part but the first; two of three layers see 64
// tokens to each side and have rotary angles of their own. Warner et al. 2024.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec modernbert(const Config& config) {
  StackSpec spec = reader_spec(config);
  spec.norm.bias = config.flag("norm_bias");
  spec.first_norm = false;
  spec.names = {.word_embeddings = "embeddings.tok_embeddings",
                .embeddings_norm = "embeddings.norm",
                .attention_norm = "attn_norm",
                .mlp_norm = "mlp_norm",
                .final_norm = "final_norm"};
  spec.rotary.push_back(spec.rotary[0]);
  spec.rotary[0].theta = config.number_in("global_rope_theta", 1.001, 1e12);
  spec.rotary[1].theta =
      config.has("local_rope_theta") ? config.number_in("local_rope_theta", 1.001, 1e12) : spec.rotary[0].theta;
  if (config.has("rope_parameters") && !spec.layers.empty()) {
    const int64_t head_dim = spec.layers[0].attention.head_dim;
    spec.rotary = {rotary_spec(config, head_dim, "full_attention"), rotary_spec(config, head_dim, "sliding_attention")};
  }
  const int64_t window = config.integer_in("local_attention", 2, INT32_MAX) / 2;
  const int64_t pattern = config.integer_in("global_attn_every_n_layers", 1, 1 << 20);
  const std::vector<std::string> types = config.texts("layer_types");
  const bool bias = config.flag("attention_bias");
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    AttentionSpec& attention = spec.layers[i].attention;
    attention.layout = ProjectionLayout::concatenated;
    attention.query_bias = attention.output_bias = bias;
    attention.names = {.query_key_value = "attn.Wqkv", .output = "attn.Wo"};
    if (types.empty() && static_cast<int64_t>(i) % pattern != 0) attention.window = window;
    MlpSpec& mlp = spec.layers[i].mlp;
    mlp.kind = MlpKind::gated_fused;
    mlp.bias = config.flag("mlp_bias");
    mlp.inner_dropout = config.number_in("mlp_dropout", 0, 0.999);
    mlp.names = {.down = "mlp.Wo", .gate_up = "mlp.Wi"};
  }
  apply_layer_types(config, &spec, window);
  for (LayerSpec& layer : spec.layers) layer.attention.rotary = layer.attention.window > 0 ? 1 : 0;
  return spec;
}

const ConfigSchema& modernbert_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50368, "hidden_size": 768, "intermediate_size": 1152, "num_hidden_layers": 22,
    "num_attention_heads": 12, "hidden_activation": "gelu", "max_position_embeddings": 8192,
    "initializer_range": 0.02, "norm_eps": 1e-5, "norm_bias": false, "pad_token_id": 50283, "eos_token_id": 50282,
    "bos_token_id": 50281, "cls_token_id": 50281, "sep_token_id": 50282, "attention_bias": false,
    "attention_dropout": 0.0, "global_rope_theta": 160000.0, "local_rope_theta": 10000.0,
    "global_attn_every_n_layers": 3, "local_attention": 128, "embedding_dropout": 0.0, "mlp_bias": false,
    "mlp_dropout": 0.0, "decoder_bias": true, "classifier_pooling": "cls", "classifier_dropout": 0.0,
    "classifier_bias": false, "classifier_activation": "gelu", "tie_word_embeddings": true})",
                                   {{"hidden_act", "hidden_activation"}, {"layer_norm_eps", "norm_eps"}}};
  return schema;
}

const HeadStyle& modernbert_heads() {
  static const HeadStyle style{
      .language = {.decoder = "decoder", .bias = "decoder.bias", .bias_key = "decoder_bias"},
      .sequence = {.pooling = SentencePooling::first_token, .pooling_key = "classifier_pooling"},
      .choice = {.pooling = SentencePooling::first_shown, .pooling_key = "classifier_pooling"},
      .transform = {.dense = "head.dense",
                    .norm = "head.norm",
                    .activation_key = "classifier_activation",
                    .bias_key = "classifier_bias"},
      .question = "classifier",
  };
  return style;
}

}  // namespace mica::families
