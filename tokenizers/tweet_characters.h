#pragma once
// Characters as the regular expression for tweets sees them: case does not count, so that a dotted I, a long s and the
// sign of Kelvin are letters from a to z.

#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/unicode.h"

namespace mica::tweet {

inline bool is_space(char32_t c) {
  return unicode::has(c, unicode::kWhitespace);
}
inline bool is_word(char32_t c) {
  return unicode::has(c, unicode::kWord);
}
inline bool is_digit(char32_t c) {
  return jinja::is_decimal(c);
}
inline bool is_letter(char32_t c) {
  return is_word(c) && !is_digit(c) && c != U'_';
}

inline char32_t fold(char32_t c) {
  if (c >= U'A' && c <= U'Z') return c + 32;
  return c == 0x130 ? U'i' : c == 0x17f ? U's' : c == 0x212a ? U'k' : c;
}
inline bool is_ascii_letter(char32_t c) {
  return fold(c) >= U'a' && fold(c) <= U'z';
}
inline bool is_ascii_alnum(char32_t c) {
  return is_ascii_letter(c) || (c >= U'0' && c <= U'9');
}

}  // namespace mica::tweet
