#pragma once
// Properties and mappings of characters, as the reference tokenizers see them (unicode_tables.h says why that differs
// from the newest Unicode).

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace mica::unicode {

enum Property : uint16_t {
  kWhitespace = 1,
  kPunctuation = 2,
  kControl = 4,
  kNonspacingMark = 8,
  kCombiningMark = 16,
  kNumeric = 32,
  kWord = 64,
  kDecomposable = 128,
  kReordered = 256,
  kComposes = 512,
  kChinese = 1024,
};

/// A set of Property bits for every code point, in pages of 256.
class PropertyTable {
 public:
  PropertyTable();
  uint16_t operator[](char32_t c) const { return pages_[page_of_[c >> 8]][c & 0xff]; }

 private:
  std::vector<std::array<uint16_t, 256>> pages_;
  std::array<uint16_t, 0x1100> page_of_{};
};

const PropertyTable& properties();

inline bool has(char32_t c, uint16_t bits) {
  return (properties()[c] & bits) != 0;
}

/// Lower case of one character, one or two of them (only U+0130 gives two); returns how many.
int to_lower(char32_t c, char32_t out[2]);

/// A character and how many characters of the text before the mapping it adds (1: inserted; 0: replaces one;
/// -n: replaces one and swallows n more): the alignment language of NormalizedText.
struct Change {
  char32_t c;
  int32_t change;
};

/// Canonical (or, with `compatible`, compatibility) decomposition and reordering of the text.
void decompose(std::span<const char32_t> text, bool compatible, std::vector<Change>& out);
/// Canonical composition of what decompose gave, in place.
void compose(std::vector<Change>& text);

}  // namespace mica::unicode
