#pragma once
// A tokenizer.json whose components are settled gets the vocabulary that a corpus teaches.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mica/base/json.h"
#include "mica/tokenizers/options.h"
#include "mica/tokenizers/trainers/text_source.h"
#include "mica/tokenizers/trainers/training.h"

namespace mica {

struct JsonTraining {
  int64_t vocab_size = 0;
  std::vector<AddedToken> special_tokens = {};
  std::optional<std::string> unk_token = {};  ///< of a Unigram model; others name it among their settings
};

/// Fills in "model" and "added_tokens" of the tokenizer, whose normalizer, pre-tokenizer and settings of the model are
/// kept; "post_processor" is left as it is. Throws Error for options that the model's trainer does not have, for a
/// corpus without words, and for what the trainers refuse.
void train_json(Json& tokenizer, TextSource& texts, const JsonTraining& training, const TrainerOptions& options);

}  // namespace mica
