// PLBART is BART that starts what it writes with the language's code. Ahmad et al. 2021.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderDecoderSpec plbart(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  spec.wraps = true;
  return spec;
}

const ConfigSchema& plbart_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50005, "encoder_layers": 6, "encoder_ffn_dim": 3072, "encoder_attention_heads": 12,
    "decoder_layers": 6, "decoder_ffn_dim": 3072, "decoder_attention_heads": 12, "d_model": 768, "scale_embedding": true,
    "decoder_start_token_id": null})",
                                   {},
                                   &bart_schema()};
  return schema;
}

}  // namespace mica::families
