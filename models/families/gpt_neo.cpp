// GPT-Neo is GPT-2 without a scale of its scores, with separate projections, and a window in every other layer.
// Black et al. 2021.
#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/models/families/families.h"

namespace mica::families {

namespace {

// "global" or "local" a layer: attention_layers, or attention_types, [[["global", "local"], 12]].
std::vector<std::string> kinds_of_layers(const Config& config) {
  if (config.has("attention_layers")) return config.texts("attention_layers");
  std::vector<std::string> kinds;
  const Json types = parse_json(config.json("attention_types"), config.where());
  const auto wrong = [&] {
    return Error("attention_types is " + printable(types.dump(), 80), config.where(),
                 "it must be a list such as [[[\"global\", \"local\"], 12]]");
  };
  if (!types.is_array()) throw wrong();
  for (const Json& entry : types) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_array() || !entry[1].is_number_integer()) throw wrong();
    const auto times = entry[1].get<int64_t>();
    if (times < 0 || times > 4096) throw wrong();
    for (int64_t i = 0; i < times; ++i) {
      for (const Json& kind : entry[0]) {
        if (!kind.is_string() || kinds.size() > 4096) throw wrong();
        kinds.push_back(kind.get<std::string>());
      }
    }
  }
  return kinds;
}

}  // namespace

StackSpec gpt_neo(const Config& config) {
  StackSpec spec = gpt2(config);
  const std::vector<std::string> kinds = kinds_of_layers(config);
  if (kinds.size() != spec.layers.size()) {
    throw Error("attention_types names " + std::to_string(kinds.size()) + " layers", config.where(),
                "num_layers is " + std::to_string(spec.layers.size()));
  }
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    AttentionSpec& attention = spec.layers[i].attention;
    attention.layout = ProjectionLayout::separate;
    attention.transposed = spec.layers[i].mlp.transposed = false;
    attention.query_bias = false;
    attention.scale = 1;
    if (kinds[i] == "local") attention.window = config.integer_in("window_size", 1, INT32_MAX);
    attention.names = {.query = "attn.attention.q_proj",
                       .key = "attn.attention.k_proj",
                       .value = "attn.attention.v_proj",
                       .output = "attn.attention.out_proj"};
  }
  return spec;
}

const ConfigSchema& gpt_neo_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50257, "max_position_embeddings": 2048, "hidden_size": 2048, "num_layers": 24,
    "attention_types": [[["global", "local"], 12]], "num_heads": 16, "intermediate_size": null, "window_size": 256,
    "activation_function": "gelu_new", "resid_dropout": 0.0, "embed_dropout": 0.0, "attention_dropout": 0.0,
    "classifier_dropout": 0.1, "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "bos_token_id": 50256,
    "eos_token_id": 50256, "tie_word_embeddings": true})",
                                   {{"num_attention_heads", "num_heads"},
                                    {"num_hidden_layers", "num_layers"},
                                    {"hidden_act", "activation_function"},
                                    {"layer_norm_eps", "layer_norm_epsilon"},
                                    {"hidden_dropout", "resid_dropout"},
                                    {"embedding_dropout", "embed_dropout"}}};
  return schema;
}

}  // namespace mica::families
