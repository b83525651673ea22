// Longformer is RoBERTa with sliding windows and global tokens. Beltagy et al. 2020.
#include "mica/base/error.h"
#include "mica/models/architectures/limits.h"
#include "mica/models/families/families.h"

namespace mica::families {

std::vector<int64_t> half_windows(const Config& config, int64_t layers) {
  std::vector<double> windows;
  if (config.json("attention_window").front() == '[') {
    windows = config.numbers("attention_window");
  } else {
    windows.assign(static_cast<size_t>(layers), config.number("attention_window"));
  }
  std::vector<int64_t> halves;
  for (const double window : windows) {
    const bool fits = window >= 2 && window <= static_cast<double>(kMaxVocabulary);
    const int64_t half = fits ? static_cast<int64_t>(window) / 2 : 0;
    if (!fits || static_cast<double>(2 * half) != window) {
      throw Error("attention_window " + config.json("attention_window"), config.where(), "use even numbers from 2 on");
    }
    halves.push_back(half);
  }
  if (static_cast<int64_t>(halves.size()) != layers) {
    throw Error(std::to_string(halves.size()) + " attention windows for " + std::to_string(layers) + " layers",
                config.where(), "give attention_window one entry a layer");
  }
  return halves;
}

EncoderSpec longformer(const Config& config) {
  EncoderSpec spec = roberta(config);
  spec.attention = LocalGlobalSpec{.num_heads = spec.num_attention_heads,
                                   .reach = half_windows(config, spec.num_hidden_layers),
                                   .dropout = spec.attention_dropout,
                                   .separator = config.integer_in("sep_token_id", -1, spec.vocab_size - 1)};
  return spec;
}

const ConfigSchema& longformer_schema() {
  static const ConfigSchema schema{R"({
    "attention_window": 512, "sep_token_id": 2, "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
    "num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "max_position_embeddings": 512, "type_vocab_size": 2,
    "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
    "onnx_export": false, "tie_word_embeddings": true})",
                                   {}};
  return schema;
}

const HeadStyle& longformer_heads() {
  static const HeadStyle style = [] {
    HeadStyle heads = roberta_heads();
    heads.global_tokens = {{Task::sequence_classification, GlobalTokens::first},
                           {Task::question_answering, GlobalTokens::before_separator},
                           {Task::multiple_choice, GlobalTokens::after_separator}};
    return heads;
  }();
  return style;
}

}  // namespace mica::families
