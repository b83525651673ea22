// GPT-J runs attention and MLP side by side behind one layer norm, and rotates neighbouring elements of a part of each
// head. Wang and Komatsuzaki 2021.
#include "mica/models/families/families.h"

namespace mica::families {

StackSpec gptj(const Config& config) {
  StackSpec spec = gpt2(config);
  spec.positions = PositionTable::none;
  spec.parallel = true;
  spec.names.mlp_norm = "";
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.layout = ProjectionLayout::separate;
    attention.transposed = layer.mlp.transposed = false;
    attention.query_bias = attention.output_bias = false;
    attention.rotary = 0;
    attention.rotary_layout = RotaryLayout::interleaved;
    attention.names = {.query = "attn.q_proj", .key = "attn.k_proj", .value = "attn.v_proj", .output = "attn.out_proj"};
    layer.mlp.names = {.up = "mlp.fc_in", .down = "mlp.fc_out"};
    spec.rotary = {rotary_spec(config, attention.head_dim)};
  }
  return spec;
}

const ConfigSchema& gptj_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50400, "n_positions": 2048, "n_embd": 4096, "n_layer": 28, "n_head": 16, "rotary_dim": 64,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "tie_word_embeddings": false})",
                                   {},
                                   &gpt2_schema()};
  return schema;
}

const HeadStyle& gptj_heads() {
  static const HeadStyle style = [] {
    HeadStyle biased = gpt2_heads();
    biased.language.bias = "lm_head.bias";
    return biased;
  }();
  return style;
}

}  // namespace mica::families
