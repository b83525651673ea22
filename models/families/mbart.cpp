// mBART is PLBART with norms before each part. Liu et al. 2020.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderDecoderSpec mbart(const Config& config) {
  EncoderDecoderSpec spec = plbart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) put_norms_before(stack);
  return spec;
}

const ConfigSchema& mbart_schema() {
  static const ConfigSchema schema{R"({
    "decoder_start_token_id": null})",
                                   {},
                                   &bart_schema()};
  return schema;
}

}  // namespace mica::families
