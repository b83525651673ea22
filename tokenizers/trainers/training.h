#pragma once
// Training a tokenizer from scratch, and what all trainings may be told.
//
//   Tokenizer tokenizer = train_tokenizer(text_files({"corpus.txt"}), {.model = "bpe", .vocab_size = 32000});
//   tokenizer.save_pretrained("my-tokenizer");

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mica/tokenizers/tokenizer.h"
#include "mica/tokenizers/trainers/text_source.h"

namespace mica {

/// Settings of the trainers; what is not given has the value in brackets. One that the model's trainer does not have
/// (named behind each) is an Error.
struct TrainerOptions {
  std::optional<int64_t> min_frequency = {};                  ///< [0] bpe, wordpiece: of pairs; wordlevel: of words
  std::optional<int64_t> limit_alphabet = {};                 ///< [all] characters to keep; bpe, wordpiece
  std::optional<std::string> initial_alphabet = {};           ///< [none] characters to have; bpe, wordpiece, unigram
  std::optional<std::string> continuing_subword_prefix = {};  ///< [bpe: none, wordpiece: "##"]
  std::optional<std::string> end_of_word_suffix = {};         ///< [none] bpe, wordpiece
  std::optional<int64_t> max_token_length = {};               ///< [any] characters; bpe
  std::optional<double> shrinking_factor = {};                ///< [0.75] pieces that a round keeps; unigram
  std::optional<int64_t> n_sub_iterations = {};               ///< [2] unigram
  std::optional<int64_t> max_piece_length = {};               ///< [16] characters; unigram
  std::optional<int64_t> seed_size = {};                      ///< [1,000,000] pieces to start with; unigram
  /// Told how much of the step after counting is done.
  std::function<void(const char* step, int64_t done, int64_t total)> progress = {};
};

/// What a tokenizer made from scratch consists of.
struct TokenizerRecipe {
  /// bpe: GPT-2's kind, bytes; wordpiece: BERT's; unigram: T5's, spaces as "▁"; wordlevel: words and punctuation.
  std::string model = "bpe";
  int64_t vocab_size = 30000;  ///< special tokens included
  /// Default: wordpiece yes, others no.
  std::optional<bool> lowercase = {};
  /// bpe only. Without it words are cut at spaces and punctuation, and end in "</w>".
  bool byte_level = true;
  /// After those that the kind has: bpe <|endoftext|> (without bytes <unk>); wordpiece [PAD] [UNK] [CLS] [SEP] [MASK];
  /// unigram <pad> </s> <unk>; wordlevel [UNK] [PAD].
  std::vector<std::string> special_tokens = {};
};

/// Throws Error for an unknown model, for options that its trainer does not have, for a special token that occurs
/// twice, for a corpus without words, for text that is not UTF-8, and for sizes out of range.
Tokenizer train_tokenizer(TextSource texts, const TokenizerRecipe& recipe, const TrainerOptions& options = {});

}  // namespace mica
