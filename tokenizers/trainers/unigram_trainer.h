#pragma once
// Training a unigram language model of pieces (T. Kudo 2018): from all substrings that recur, those are dropped, a part
// at a time, that the likelihood of the words needs least.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mica/tokenizers/trainers/bpe_trainer.h"
#include "mica/tokenizers/trainers/word_counter.h"

namespace mica {

struct UnigramTraining {
  int64_t vocab_size = 8000;  ///< special tokens included
  std::vector<std::string> special_tokens = {};
  std::u32string initial_alphabet = {};       ///< characters to have, whether they occur or not
  std::optional<std::string> unk_token = {};  ///< put first unless it is a special token
  double shrinking_factor = 0.75;             ///< the part of the pieces that a round keeps
  int64_t n_sub_iterations = 2;               ///< of expectation and maximization in a round
  int64_t max_piece_length = 16;              ///< characters
  int64_t seed_size = 1'000'000;              ///< pieces to start with
  TrainingProgress progress = {};
};

struct UnigramVocabulary {
  std::vector<std::pair<std::string, double>> pieces;  ///< with the logarithm of their probability; special tokens: 0
  std::optional<int64_t> unk_id;
};

/// Throws Error for sizes out of range, and when vocab_size does not hold the characters that occur.
UnigramVocabulary train_unigram(const WordCounts& words, const UnigramTraining& training);

}  // namespace mica
