// Blenderbot-small is BART with learned positions from the first row on; its decoder normalises words before they get
// their positions. Roller et al. 2020.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderDecoderSpec blenderbot_small(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) stack->position_offset = 0;
  spec.decoder.norm_before_positions = true;
  spec.decoder.embedding_scale = 1;
  spec.encoder.scaled = EmbeddingScale::words;
  return spec;
}

const ConfigSchema& blenderbot_small_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50265, "max_position_embeddings": 512, "encoder_layers": 8, "encoder_ffn_dim": 2048,
    "decoder_layers": 8, "decoder_ffn_dim": 2048, "d_model": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1})",
                                   {},
                                   &bart_schema()};
  return schema;
}

}  // namespace mica::families
