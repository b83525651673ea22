#pragma once
// Models from scratch: a config that is changed, weights as the family draws them, and a tokenizer of one's own.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {

struct FromScratchOptions {
  /// masked_lm or causal_lm; by default the first of them that the family has.
  std::optional<Task> task{};
  std::vector<std::pair<std::string, std::string>> config{};  ///< fields, each with a value written as JSON
  std::string tokenizer{};  ///< a folder or hub id; by default the model's own, else one that is trained
  int64_t vocab_size = 0;   ///< of a tokenizer that is trained; 0: what the config says
  DType dtype = DType::float32;
};

struct ModelAndTokenizer {
  Model model;
  Tokenizer tokenizer;
};

/// `name` is a folder or hub id with a config.json, or a model type ("gpt2"). A tokenizer is trained on `corpus`, one
/// text a line: WordPiece for masked language models, byte-level BPE for causal ones. The config's vocab_size and the
/// ids of its special tokens become the tokenizer's. `manual_seed` makes the weights repeatable. Throws Error for a
/// family without a language model, and for a tokenizer without the tokens that the task needs.
ModelAndTokenizer from_scratch(const std::string& name, const std::vector<std::string>& corpus,
                               const FromScratchOptions& options = {});

}  // namespace mica
