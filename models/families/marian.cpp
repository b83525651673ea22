// Marian is BART with positions that start as sines and no norm on the embeddings; files may have two vocabularies.
// Tiedemann et al. 2020.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderDecoderSpec marian(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) {
    stack->sinusoidal_start = true;
    stack->position_offset = 0;
    stack->names.embeddings_norm = "";
  }
  spec.encoder.scaled = EmbeddingScale::words;
  spec.decoder.scaled = EmbeddingScale::all;
  if (!config.flag("share_encoder_decoder_embeddings", true)) {
    spec.shared = "";
    spec.decoder.vocab_size = config.integer_in("decoder_vocab_size", 1, 1 << 26);
    if (spec.decoder.padding_idx >= spec.decoder.vocab_size) spec.decoder.padding_idx = -1;
  }
  return spec;
}

const ConfigSchema& marian_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 58101, "pad_token_id": 58100, "bos_token_id": null, "eos_token_id": 0, "decoder_start_token_id": 58100,
    "share_encoder_decoder_embeddings": true, "decoder_vocab_size": null})",
                                   {},
                                   &bart_schema()};
  return schema;
}

const HeadStyle& marian_heads() {
  static const HeadStyle style = [] {
    HeadStyle computed = bart_heads();
    computed.computes_positions = {Task::seq2seq_lm};
    return computed;
  }();
  return style;
}

}  // namespace mica::families
