#pragma once
// What Python's str makes of a text where that differs from the components of tokenizer.json.

#include <cstdint>
#include <string_view>
#include <vector>

namespace mica {

/// str.isspace: white space, and the four separators U+001C to U+001F.
bool is_python_space(char32_t c);

/// Without such at its ends (str.strip).
std::string_view strip_python_space(std::string_view text);

/// A character, and the bytes of the text that it comes from.
struct PlacedCharacter {
  char32_t c;
  uint32_t begin, end;
};

/// str.lower, in place: every character on its own, but a capital sigma at the end of a word becomes U+03C2.
void python_lower(std::vector<PlacedCharacter>& text);

}  // namespace mica
