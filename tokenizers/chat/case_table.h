#pragma once
// Case mappings that make several characters of one.

#include <string_view>

namespace mica::jinja {

/// Empty for a character whose mapping is one character.
std::u32string_view special_upper(char32_t c);
std::u32string_view special_title(char32_t c);

}  // namespace mica::jinja
