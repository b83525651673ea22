// DeBERTa is BERT with disentangled attention: content and distances have projections of their own. He et al. 2020; and
// version 2, whose distances share buckets: "DeBERTaV3: Improving DeBERTa using ELECTRA-Style Pre-Training", 2021.
#include <algorithm>

#include "mica/base/error.h"
#include "mica/models/architectures/limits.h"
#include "mica/models/families/families.h"

namespace mica::families {
namespace {

// A list, or one text with bars between.
std::vector<std::string> words(const Config& config, const char* key) {
  if (!config.has(key)) return {};
  if (config.json(key).front() == '[') return config.texts(key);
  std::vector<std::string> list(1);
  for (const char c : config.text(key)) {
    if (c == '|') {
      list.emplace_back();
    } else if (c != ' ') {
      list.back() += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
  }
  return list;
}

bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

void refuse(const Config& config, const char* key) {
  throw Error(std::string(key) + " is not supported for this family", config.where(), "leave it out");
}

EncoderSpec common(const Config& config) {
  EncoderSpec spec = bert(config);
  if (config.has("embedding_size")) spec.embedding_size = config.integer_in("embedding_size", 1, kMaxSize);
  spec.hides_embeddings = true;
  spec.norm_after_projection = true;
  EncoderNames& names = spec.names;
  names.embeddings_project = "embeddings.embed_proj";
  names.pooler = "";
  if (!config.flag("position_biased_input", true)) names.position_embeddings = "";
  DisentangledSpec attention{.num_heads = spec.num_attention_heads,
                             .table_dropout = spec.hidden_dropout,
                             .dropout = spec.attention_dropout,
                             .norm = {.eps = spec.layer_norm_eps}};
  const std::vector<std::string> kinds = words(config, "pos_att_type");
  attention.content_to_position = contains(kinds, "c2p");
  attention.position_to_content = contains(kinds, "p2c");
  if (config.flag("relative_attention")) {
    attention.span = config.integer_in("max_relative_positions", -1, kMaxVocabulary);
    if (attention.span < 1) attention.span = spec.max_position_embeddings;
  }
  spec.attention = attention;
  return spec;
}

}  // namespace

EncoderSpec deberta(const Config& config) {
  if (config.flag("talking_head")) refuse(config, "talking_head");
  EncoderSpec spec = common(config);
  auto& attention = std::get<DisentangledSpec>(spec.attention);
  attention.terms = 1 + static_cast<int64_t>(words(config, "pos_att_type").size());
  attention.fused = true;
  attention.position_key = "pos_proj";
  attention.position_query = "pos_q_proj";
  attention.position_key_bias = false;
  return spec;
}

EncoderSpec deberta_v2(const Config& config) {
  EncoderSpec spec = common(config);
  if (config.has("conv_kernel_size")) {
    spec.convolution = {.kernel_size = config.integer_in("conv_kernel_size", 0, 1 << 10),
                        .groups = config.has("conv_groups") ? config.integer_in("conv_groups", 1, kMaxSize) : 1,
                        .activation = activation_from_name(config.has("conv_act") ? config.text("conv_act") : "tanh"),
                        .dropout = spec.hidden_dropout,
                        .norm = {.eps = spec.layer_norm_eps}};
  }
  auto& attention = std::get<DisentangledSpec>(spec.attention);
  attention.terms = 1 + (attention.content_to_position ? 1 : 0) + (attention.position_to_content ? 1 : 0);
  attention.shared_projections = config.flag("share_att_key");
  attention.normalised_table = contains(words(config, "norm_rel_ebd"), "layer_norm");
  const int64_t buckets =
      config.has("position_buckets") ? config.integer_in("position_buckets", -1, kMaxVocabulary) : -1;
  if (attention.span > 0 && buckets > 0) {
    if (buckets < 4 || attention.span - 1 <= buckets / 2) {
      throw Error(
          "position_buckets " + std::to_string(buckets) + " for distances up to " + std::to_string(attention.span),
          config.where(), "use at least 4, and fewer than twice the distance");
    }
    attention.max_distance = attention.span;
    attention.buckets = buckets;
    attention.span = buckets;
  }
  return spec;
}

const ConfigSchema& deberta_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 0, "initializer_range": 0.02, "layer_norm_eps": 1e-7,
    "relative_attention": false, "max_relative_positions": -1, "pad_token_id": 0, "position_biased_input": true,
    "pos_att_type": null, "pooler_dropout": 0.0, "pooler_hidden_act": "gelu", "legacy": true,
    "tie_word_embeddings": true})",
                                   {}};
  return schema;
}

const ConfigSchema& deberta_v2_schema() {
  static const ConfigSchema schema{R"({
    "vocab_size": 128100, "hidden_size": 1536, "num_hidden_layers": 24, "num_attention_heads": 24,
    "intermediate_size": 6144, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 0, "initializer_range": 0.02, "layer_norm_eps": 1e-7,
    "relative_attention": false, "max_relative_positions": -1, "pad_token_id": 0, "position_biased_input": true,
    "pos_att_type": null, "pooler_dropout": 0.0, "pooler_hidden_act": "gelu", "legacy": true,
    "tie_word_embeddings": true})",
                                   {}};
  return schema;
}

const HeadStyle& deberta_heads() {
  static const SentenceStyle sentence{.pooling = SentencePooling::first_token,
                                      .dense = "pooler.dense",
                                      .activation = Activation::gelu,
                                      .activation_key = "pooler_hidden_act"};
  static const HeadStyle style{.language = bert_heads().language,
                               .language_key = "legacy",
                               .other_language = {.dense = "lm_predictions.lm_head.dense",
                                                  .norm = "lm_predictions.lm_head.LayerNorm",
                                                  .bias = "lm_predictions.lm_head.bias"},
                               .sequence = sentence,
                               .choice = sentence};
  return style;
}

}  // namespace mica::families
