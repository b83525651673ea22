#pragma once
// Moses' three scripts that run before its tokenizer: replace-unicode-punctuation, normalize-punctuation and
// remove-non-printing-char. Each takes time in proportion to the text.

#include <string_view>

#include "mica/tokenizers/placed_text.h"

namespace mica::moses {

/// Punctuation and digits of East Asian typography to ASCII, quotes to ".
void replace_unicode_punctuation(PlacedText& text);
/// Quotes, dashes, spaces around punctuation, and numbers cut by a no-break space, as the language has them.
void normalize_punctuation(PlacedText& text, std::string_view language);
/// Without control, format, private-use and unassigned characters.
void remove_non_printing(PlacedText& text);

}  // namespace mica::moses
