#pragma once
// What the Moses scripts take for a letter, a number and so on: the sets that sacremoses carries, of an old Unicode and
// without ideographs and Hangul. Where words end depends on it, so they cannot come from newer tables.

#include <cstdint>
#include <span>

namespace mica::moses {

enum Property : uint8_t {
  kLetter = 1,
  kSign = 2,  ///< viramas and nuktas, which count as letters when a text is cut
  kDigit = 4,
  kNumber = 8,  ///< digits, fractions, Roman numerals and the like
  kLowerCase = 16,
  kCurrency = 32,
};
constexpr uint8_t kAlpha = kLetter | kSign;
constexpr uint8_t kAlnum = kAlpha | kDigit;

/// Whether the character has one of these properties.
bool has(char32_t c, uint8_t properties);

namespace tables {

/// first, first + step, ... last.
struct Run {
  uint32_t first, last;
  uint32_t step;
};
extern const std::span<const Run> letter, sign, digit, number, lower_case, currency;

}  // namespace tables
}  // namespace mica::moses
