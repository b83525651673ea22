#pragma once
// The start of BPE training: the tokens of one character, and the words spelled with them.

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "mica/tokenizers/trainers/bpe_trainer.h"

namespace mica {

/// Tokens by id, and the way back.
class GrowingVocabulary {
 public:
  /// The token's id, a new one if need be.
  uint32_t add(const std::string& token);
  const std::string& operator[](uint32_t id) const { return tokens_[id]; }
  size_t size() const { return tokens_.size(); }
  bool contains(const std::string& token) const { return ids_.count(token) != 0; }
  std::vector<std::string> take() { return std::move(tokens_); }

 private:
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, uint32_t> ids_;
};

/// Words as ids, one after another.
struct SpelledWords {
  std::vector<uint32_t> symbols;
  std::vector<uint64_t> begins;   ///< of each word in symbols
  std::vector<uint32_t> lengths;  ///< of each word
  std::vector<uint64_t> counts;
};

/// Special tokens, then the alphabet by code point, then its forms with prefix and suffix by their bytes. (The
/// reference numbers these forms in the order of a hash table, differently in each run.)
SpelledWords spell_words(const WordCounts& words, const BpeTraining& training, GrowingVocabulary& vocabulary);

}  // namespace mica
