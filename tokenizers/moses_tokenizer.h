#pragma once
// Moses' tokenizer: punctuation becomes words of its own, but for full stops and commas inside numbers and
// abbreviations. Takes time in proportion to the text.

#include <vector>

#include "mica/tokenizers/moses_language.h"
#include "mica/tokenizers/placed_text.h"

namespace mica::moses {

struct TokenizerSettings {
  bool splits_dashes = false;  ///< a dash between letters becomes @-@
  bool escapes = false;        ///< & < > | ' " [ ] as XML spells them
};

std::vector<PlacedText> words(PlacedText text, const Language& language, const TokenizerSettings& settings);

}  // namespace mica::moses
