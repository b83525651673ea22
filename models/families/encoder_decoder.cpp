// Any encoder and any decoder with cross-attention, each with a config of its own. Rothe et al. 2019.
#include "mica/models/families/families.h"

namespace mica::families {

PairSpec encoder_decoder(const Config& config) {
  PairSpec spec{.encoder = config.object("encoder"), .decoder = config.object("decoder"), .shift = {}};
  spec.shift.decoder_start_token_id = config.integer("decoder_start_token_id", -1);
  spec.shift.pad_token_id = config.integer("pad_token_id", -1);
  spec.shift.hides_padding = true;
  return spec;
}

const ConfigSchema& encoder_decoder_schema() {
  static const ConfigSchema schema{R"({"is_encoder_decoder": true})", {}};
  return schema;
}

}  // namespace mica::families
