#pragma once
// Training a word level vocabulary: the most frequent words.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mica/tokenizers/trainers/word_counter.h"

namespace mica {

struct WordLevelTraining {
  int64_t vocab_size = 30000;  ///< special tokens included
  int64_t min_frequency = 0;   ///< of a word
  std::vector<std::string> special_tokens = {};
};

/// Tokens with their ids: special tokens first, then words by falling count and, where that is equal, by their bytes.
/// A special token that is a word as well has the word's id, as in the reference; the id that it leaves has no token.
/// Throws Error for sizes out of range.
std::vector<std::pair<std::string, int64_t>> train_word_level(const WordCounts& words,
                                                              const WordLevelTraining& training);

}  // namespace mica
