#pragma once
// BERT's words as the reference's Python code cuts them (BasicTokenizer): the same as BertNormalizer and
// BertPreTokenizer in principle, with Python's lower case and the character properties of a newer Unicode.

#include <optional>

#include "mica/tokenizers/placed_text.h"
#include "mica/tokenizers/pretokenizers.h"

namespace mica {

class BasicWords : public PreTokenizer {
 public:
  struct Settings {
    bool lowercase = true;
    bool chinese_alone = true;               ///< every ideograph is a word
    std::optional<bool> strip_accents = {};  ///< default: as lowercase
    bool only_white = false;                 ///< words are what white space parts, as they are
  };
  explicit BasicWords(Settings settings) : settings_(settings) {}
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override;
  /// Throws Error: tokenizer.json has no component that does quite this.
  Json to_json() const override;

 private:
  std::vector<PlacedText> words(const NormalizedText& text, ByteRange piece) const;

  Settings settings_;
};

}  // namespace mica
