// Blenderbot is BART with norms before each part and learned positions from the first row on. Roller et al. 2020.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderDecoderSpec blenderbot(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) {
    put_norms_before(stack);
    stack->position_offset = 0;
    stack->names.embeddings_norm = "";
  }
  return spec;
}

const ConfigSchema& blenderbot_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 8008, "max_position_embeddings": 128, "encoder_layers": 2, "encoder_ffn_dim": 10240,
    "encoder_attention_heads": 32, "decoder_layers": 24, "decoder_ffn_dim": 10240, "decoder_attention_heads": 32,
    "d_model": 2560, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1})",
                                   {},
                                   &bart_schema()};
  return schema;
}

}  // namespace mica::families
