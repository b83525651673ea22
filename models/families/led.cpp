// LED: BART whose encoder reads with Longformer's windows and global tokens. Beltagy et al. 2020.
#include "mica/models/architectures/limits.h"
#include "mica/models/families/families.h"

namespace mica::families {

EncoderDecoderSpec led(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  StackSpec& encoder = spec.encoder;
  spec.decoder.position_offset = encoder.position_offset = 0;
  spec.decoder.max_position_embeddings = config.integer_in("max_decoder_position_embeddings", 1, kMaxVocabulary);
  encoder.max_position_embeddings = config.integer_in("max_encoder_position_embeddings", 1, kMaxVocabulary);
  LocalGlobalSpec windows{.num_heads = config.integer("encoder_attention_heads"),
                          .reach = half_windows(config, static_cast<int64_t>(encoder.layers.size())),
                          .dropout = config.number_in("attention_dropout", 0, 0.999),
                          .module = "self_attn.longformer_self_attn"};
  encoder.local_global = std::move(windows);
  for (LayerSpec& layer : encoder.layers) layer.attention.names.output = "self_attn.output";
  return spec;
}

const ConfigSchema& led_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50265, "max_encoder_position_embeddings": 16384, "max_decoder_position_embeddings": 1024,
    "encoder_layers": 12, "encoder_ffn_dim": 4096, "encoder_attention_heads": 16, "decoder_layers": 12,
    "decoder_ffn_dim": 4096, "decoder_attention_heads": 16, "activation_function": "gelu", "d_model": 1024,
    "dropout": 0.1, "attention_dropout": 0.0, "activation_dropout": 0.0, "init_std": 0.02, "classifier_dropout": 0.0,
    "attention_window": 512, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2,
    "layer_norm_eps": 1e-5, "is_encoder_decoder": true, "tie_word_embeddings": true})",
                                   bart_schema().aliases};
  return schema;
}

}  // namespace mica::families
