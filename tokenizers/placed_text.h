#pragma once
// A text as a list of characters, each with the place of the original that it stands for: what rules that rewrite a
// text one after another work on.

#include <string_view>
#include <utility>
#include <vector>

#include "mica/tokenizers/normalized_text.h"
#include "mica/tokenizers/python_text.h"

namespace mica {

/// Places are characters of the original text.
using PlacedText = std::vector<PlacedCharacter>;

PlacedText placed_text(const NormalizedText& text, ByteRange range);
/// The parts one after another as the text, a blank between two of them; `pieces` says where each is.
void assign_words(const std::vector<PlacedText>& words, NormalizedText& text, std::vector<ByteRange>& pieces);
/// The same for one part.
void assign(const PlacedText& part, NormalizedText& text);

/// Appends characters that stand where `place` does.
void append(PlacedText& text, std::u32string_view characters, const PlacedCharacter& place);
/// The words with a blank between two of them.
PlacedText join_words(const std::vector<PlacedText>& words);
/// Puts `to` in the place of every `from`, from left to right.
void replace_all(PlacedText& text, std::u32string_view from, std::u32string_view to);
/// Puts `to` in the place of `middle` between two characters that `left` and `right` accept. All three are the match:
/// the next one begins behind them.
template <typename Left, typename Right>
void replace_between(PlacedText& text, char32_t middle, std::u32string_view to, const Left& left, const Right& right) {
  PlacedText replaced;
  replaced.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    replaced.push_back(text[i]);
    if (i + 2 < text.size() && text[i + 1].c == middle && left(text[i].c) && right(text[i + 2].c)) {
      append(replaced, to, text[i + 1]);
      replaced.push_back(text[i + 2]);
      i += 3;
    } else {
      ++i;
    }
  }
  text = std::move(replaced);
}
/// What white space parts (str.split).
std::vector<PlacedText> split_white(const PlacedText& text);
/// Without the characters that str.isspace knows at its ends.
void strip_python_space(PlacedText& text);

}  // namespace mica
