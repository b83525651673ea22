#pragma once
// Characters as Python's str methods see them.

#include <string>
#include <string_view>

namespace mica::jinja {

std::u32string decode(std::string_view text);
std::string encode(std::u32string_view text);

bool is_space(char32_t c);            ///< str.isspace
bool is_alpha(char32_t c);            ///< str.isalpha
bool is_decimal(char32_t c);          ///< str.isdecimal
bool is_digit(char32_t c);            ///< str.isdigit
bool is_numeric(char32_t c);          ///< str.isnumeric
bool is_printable(char32_t c);        ///< str.isprintable
bool is_other(char32_t c);            ///< category C: control, format, private use, unassigned
bool is_space_separator(char32_t c);  ///< category Zs
bool is_punctuation(char32_t c);      ///< category P
bool is_nonspacing_mark(char32_t c);  ///< category Mn
bool is_upper(char32_t c);            ///< upper case
bool is_lower(char32_t c);            ///< lower case
bool is_title(char32_t c);            ///< title case, as in U+01C5
bool is_word(char32_t c);             ///< \w of a regular expression
bool is_cased(char32_t c);
bool starts_identifier(char32_t c);  ///< may stand first in a name of Python
bool continues_identifier(char32_t c);

/// Full case mappings, special cases (sharp s, final sigma) included.
std::u32string upper(std::u32string_view text);
std::u32string lower(std::u32string_view text);
std::u32string title(std::u32string_view text);
std::u32string capitalize(std::u32string_view text);
std::u32string swapcase(std::u32string_view text);
std::u32string casefold(std::u32string_view text);

/// A line ends behind these, as for str.splitlines.
bool is_line_break(char32_t c);

}  // namespace mica::jinja
