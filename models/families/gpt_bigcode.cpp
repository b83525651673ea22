// GPT-BigCode is GPT-2 with one head of keys and values for all queries. Allal et al. 2023 (SantaCoder, StarCoder).
#include "mica/base/error.h"
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec gpt_bigcode(const Config& given) {
  Config config = given;
  // Two keys of GPT-2's that this family's files may carry, and the network does not follow.
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "num_key_value_heads"}) config.remove(key);
  if (config.flag("add_cross_attention")) {
    throw Error("cross-attention is not supported for this family", config.where(), "set add_cross_attention to false");
  }
  StackSpec spec = gpt2(config);
  const bool shared = config.flag("multi_query");
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.num_key_value_heads = shared ? 1 : attention.num_attention_heads;
    attention.layout = shared ? ProjectionLayout::concatenated : ProjectionLayout::grouped;
    attention.transposed = layer.mlp.transposed = false;
  }
  return spec;
}

const ConfigSchema& gpt_bigcode_schema() {
  static const ConfigSchema schema{R"({
    "activation_function": "gelu_pytorch_tanh", "multi_query": true})",
                                   {},
                                   &gpt2_schema()};
  return schema;
}

}  // namespace mica::families
