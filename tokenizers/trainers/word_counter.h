#pragma once
// The words of a corpus and how often each occurs, as the model of a tokenizer will see them: after the normalizer and
// the pre-tokenizer.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mica/tokenizers/normalizers.h"
#include "mica/tokenizers/pretokenizers.h"
#include "mica/tokenizers/trainers/space_cuts.h"
#include "mica/tokenizers/trainers/text_source.h"
#include "mica/tokenizers/trainers/word_table.h"

namespace mica {

/// Words with their counts, ordered by their bytes (which is the order of code points).
struct WordCounts {
  std::vector<WordCount> words;
  WordTable table;  ///< holds the texts
};

class WordCounter {
 public:
  /// Either may be null: a text is then one word.
  WordCounter(NormalizerPtr normalizer, PreTokenizerPtr pre_tokenizer);

  /// Counts on all threads; the result depends neither on their number nor on how the texts are cut into calls. Throws
  /// Error for a text that is not UTF-8.
  void add(std::span<const std::string> texts);
  /// Everything that a source gives.
  void add(TextSource& source);
  WordCounts finish();

  int64_t texts() const { return texts_; }
  /// For tests: every text through the components as a whole.
  void forbid_cuts() { cuts_ = SpaceCuts::none; }

 private:
  struct Share {
    WordTable chunks, words;
    NormalizedText text;
    std::vector<ByteRange> pieces;
  };
  void count_text(std::string_view text, Share& share) const;
  void count_words(std::string_view text, uint64_t count, Share& share) const;
  void flush(Share& share) const;

  NormalizerPtr normalizer_;
  PreTokenizerPtr pre_tokenizer_;
  SpaceCuts cuts_ = SpaceCuts::none;
  std::vector<Share> shares_;
  int64_t texts_ = 0;
};

}  // namespace mica
