// StarCoder2 is Llama with layer norms, biases, a plain MLP and a window. Lozhkov et al. 2024.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec starcoder2(const Config& config) {
  StackSpec spec = decoder_spec(config);
  const bool bias = config.flag("use_bias");
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.query_bias = attention.key_bias = attention.value_bias = attention.output_bias = bias;
    layer.mlp.kind = MlpKind::plain;
    layer.mlp.bias = bias;
    layer.mlp.names = {.up = "mlp.c_fc", .down = "mlp.c_proj"};
  }
  set_window(config, &spec);
  return spec;
}

const ConfigSchema& starcoder2_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 49152, "hidden_size": 3072, "intermediate_size": 12288, "num_hidden_layers": 30,
    "num_attention_heads": 24, "num_key_value_heads": 2, "hidden_act": "gelu_pytorch_tanh",
    "max_position_embeddings": 4096, "initializer_range": 0.018042, "norm_epsilon": 1e-5, "bos_token_id": 50256,
    "eos_token_id": 50256, "rope_theta": 10000.0, "sliding_window": null, "attention_dropout": 0.0,
    "residual_dropout": 0.0, "embedding_dropout": 0.0, "use_bias": true, "tie_word_embeddings": true})",
                                   {{"layer_norm_eps", "norm_epsilon"}, {"hidden_dropout", "residual_dropout"}}};
  return schema;
}

}  // namespace mica::families
