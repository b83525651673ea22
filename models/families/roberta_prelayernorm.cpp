// RoBERTa-PreLayerNorm is RoBERTa with the norms before each block and one after the last. Ott et al. (fairseq) 2019.
#include "mica/models/families/families.h"

namespace mica::families {

EncoderSpec roberta_prelayernorm(const Config& config) {
  EncoderSpec spec = roberta(config);
  spec.norms = NormPlacement::before;
  spec.names.attention_norm = "attention.LayerNorm";
  spec.names.output_norm = "intermediate.LayerNorm";
  spec.names.final_norm = "LayerNorm";
  return spec;
}

}  // namespace mica::families
