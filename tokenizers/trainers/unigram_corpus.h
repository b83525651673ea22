#pragma once
// The words of a unigram training as numbers, and the pieces that training starts with.

#include <cstdint>
#include <string>
#include <vector>

#include "mica/tokenizers/trainers/word_counter.h"

namespace mica {

/// All words, one after another, with a zero behind each. Symbols number the characters that occur, from 1, in the
/// order of code points.
struct UnigramCorpus {
  struct Word {
    uint32_t begin, length;  ///< in symbols
    double count;
  };
  std::vector<uint32_t> symbols;
  std::vector<Word> words;
  std::vector<char32_t> characters;  ///< by symbol; the first stands for the zero

  std::string text(uint32_t begin, uint32_t length) const;
};

/// Throws Error above 4,000 million characters.
UnigramCorpus make_unigram_corpus(const WordCounts& words);

/// A piece is a stretch of the corpus.
struct UnigramPiece {
  uint32_t begin = 0, length = 0;
  double score = 0;  ///< the logarithm of its probability
};

/// Every character, the most frequent first; then the substrings of two characters or more which occur at least twice
/// and are followed by different characters, those that cover most first, until there are `seed_size` pieces.
std::vector<UnigramPiece> make_seed_pieces(const UnigramCorpus& corpus, uint32_t max_piece_length, size_t seed_size);

}  // namespace mica
