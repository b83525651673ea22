// Pegasus is BART with norms before each part and positions that start as sines. Zhang et al. 2020.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderDecoderSpec pegasus(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) {
    put_norms_before(stack);
    stack->sinusoidal_start = true;
    stack->position_offset = 0;
    stack->names.embeddings_norm = "";
  }
  spec.encoder.scaled = EmbeddingScale::words;
  spec.decoder.scaled = EmbeddingScale::all;
  return spec;
}

const ConfigSchema& pegasus_schema() {
  static const ConfigSchema schema{R"({
    "pad_token_id": 0, "bos_token_id": null, "eos_token_id": 1, "decoder_start_token_id": 0})",
                                   {},
                                   &bart_schema()};
  return schema;
}

}  // namespace mica::families
