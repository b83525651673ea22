// M2M-100 is BART with norms before each part and sinusoidal positions, counted over tokens that are no padding.
// Fan et al. 2021. NLLB is of this type.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderDecoderSpec m2m_100(const Config& config) {
  EncoderDecoderSpec spec = bart(config);
  for (StackSpec* stack : {&spec.encoder, &spec.decoder}) {
    put_norms_before(stack);
    stack->positions = PositionTable::sinusoidal;
    stack->sinusoid = SinusoidKind::fairseq;
    stack->position_rule = PositionRule::from_padding;
    stack->position_offset = stack->padding_idx + 1;
    stack->position_padding_idx = stack->padding_idx;
    stack->names.embeddings_norm = "";
  }
  return spec;
}

const ConfigSchema& m2m_100_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 128112, "activation_function": "relu", "scale_embedding": true})",
                                   {},
                                   &bart_schema()};
  return schema;
}

const HeadStyle& m2m_100_heads() {
  static const HeadStyle style{.language = {.decoder = "lm_head"}};
  return style;
}

}  // namespace mica::families
