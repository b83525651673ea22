#pragma once
// Training byte pair encoding (R. Sennrich, B. Haddow and A. Birch 2016): the most frequent pair of neighbours becomes
// a token, again and again. WordPiece vocabularies are trained in the same way, with a prefix on what continues a word.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mica/tokenizers/trainers/word_counter.h"

namespace mica {

/// Told how much of a step is done.
using TrainingProgress = std::function<void(const char* step, int64_t done, int64_t total)>;

struct BpeTraining {
  int64_t vocab_size = 30000;  ///< special tokens and alphabet included; these are kept even if they are more
  int64_t min_frequency = 0;   ///< of a pair that is merged
  std::vector<std::string> special_tokens = {};  ///< the first ids
  std::optional<int64_t> limit_alphabet = {};    ///< characters to keep: the most frequent ones
  std::u32string initial_alphabet = {};          ///< characters to have, whether they occur or not
  std::string continuing_subword_prefix = {};    ///< of tokens inside a word
  std::string end_of_word_suffix = {};           ///< of tokens that end a word
  std::optional<int64_t> max_token_length = {};  ///< characters
  TrainingProgress progress = {};
};

struct BpeVocabulary {
  std::vector<std::string> tokens;                    ///< by id
  std::vector<std::pair<uint32_t, uint32_t>> merges;  ///< ids, first merge first
};

/// Of pairs that are equally frequent the one with the lower ids is merged first, so that the result is a function of
/// the words alone. Throws Error for sizes out of range.
BpeVocabulary train_bpe(const WordCounts& words, const BpeTraining& training);

}  // namespace mica
