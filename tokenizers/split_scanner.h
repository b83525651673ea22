#pragma once
// The split patterns of well-known tokenizers as hand-written scanners: what the regular expression matches, without an
// engine. They see characters as the reference's expressions do (unicode_categories.h), and are tested against PCRE2 on
// random text.
//
// Each scanner has next(p, end, gap): the end of the piece that starts at `p` < `end` (valid UTF-8; the end of the text
// is what `end` says). `gap` is set where the piece is no match but what lies before the next match.

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

#include "mica/tokenizers/utf8.h"

namespace mica::split {

/// What the patterns ask about a character, as bits.
enum Class : uint8_t {
  kLetter = 1,
  kNumber = 2,
  kMark = 4,
  kPunctuation = 8,  // or symbol
  kSpace = 16,
  kLineEnd = 32,  // CR and LF
  kUpper = 64,    // Lu, Lt, Lm, Lo, M
  kLower = 128,   // Ll, Lm, Lo, M
};
/// Instead of kUpper in tables of ClassTable::until: the text ends before this character.
inline constexpr uint8_t kStop = 64;

/// The classes of every code point, in pages of 256.
class ClassTable {
 public:
  /// As the categories say.
  static const ClassTable& plain();
  /// For the pieces between numbers and Chinese or Japanese characters, which are kStop and nothing else.
  static const ClassTable& between();
  /// For runs of Chinese or Japanese characters: all others are kStop and nothing else.
  static const ClassTable& chinese();

  uint8_t operator[](char32_t c) const { return pages_[size_t{page_of_[c >> 8]} << 8 | (c & 0xff)]; }
  /// The class of the character at `p`, and where the next one starts.
  uint8_t read(const char* p, const char** next) const {
    const auto byte = static_cast<unsigned char>(*p);
    if (byte < 0x80) {
      *next = p + 1;
      return pages_[byte];
    }
    const char32_t c = utf8::next(p);
    *next = p;
    return (*this)[c];
  }

 private:
  template <typename Keep>
  ClassTable(const ClassTable* from, Keep keep);
  std::vector<uint8_t> pages_;
  std::array<uint16_t, 0x1100> page_of_{};
};

/// Chinese and Japanese characters as DeepSeek's second pattern lists them.
inline bool is_chinese(char32_t c) {
  return (c >= 0x4e00 && c <= 0x9fa5) || (c >= 0x3040 && c <= 0x30ff);
}

/// 0x80 in each byte of the block that is no ASCII letter.
inline uint64_t no_letters(uint64_t block) {
  constexpr uint64_t ones = 0x0101010101010101u;
  const uint64_t folded = (block & 0x7f * ones) | 0x20 * ones;
  // Sums of values up to 0x7f stay within their byte: its top bit says "at least".
  const uint64_t letter = (folded + (0x80 - 'a') * ones) & ~(folded + (0x7f - 'z') * ones) & ~block;
  return ~letter & 0x80 * ones;
}

/// Behind the ASCII letters that start at `p`.
inline const char* ascii_letters(const char* p, const char* end) {
  if constexpr (std::endian::native == std::endian::little) {
    while (end - p >= 8) {
      uint64_t block = 0;
      std::memcpy(&block, p, 8);
      const uint64_t others = no_letters(block);
      if (others != 0) return p + std::countr_zero(others) / 8;
      p += 8;
    }
  }
  while (p < end && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))) ++p;
  return p;
}

class ScannerBase {
 public:
  explicit ScannerBase(const ClassTable& table) : table_(table) {}

 protected:
  uint8_t read(const char* p, const char** next) const { return table_.read(p, next); }
  bool is(const char* p, const char* end, uint8_t mask) const {
    const char* next = nullptr;
    return p < end && (read(p, &next) & mask) != 0;
  }
  /// Behind the characters with one of these classes.
  const char* run(const char* p, const char* end, uint8_t mask) const {
    for (const char* next = nullptr; p < end && (read(p, &next) & mask) != 0;) p = next;
    return p;
  }
  /// Behind the characters with none of these classes.
  const char* run_without(const char* p, const char* end, uint8_t mask) const {
    for (const char* next = nullptr; p < end && (read(p, &next) & mask) == 0;) p = next;
    return p;
  }
  /// Behind the letters (and what else `mask` has).
  const char* letters(const char* p, const char* end, uint8_t mask = kLetter) const {
    for (;;) {
      p = ascii_letters(p, end);
      if (p == end || static_cast<unsigned char>(*p) < 0x80) return p;
      do {
        const char* next = nullptr;
        if ((read(p, &next) & mask) == 0) return p;
        p = next;
      } while (p < end && static_cast<unsigned char>(*p) >= 0x80);
    }
  }
  /// Behind up to `most` numbers.
  const char* numbers(const char* p, const char* end, int most) const {
    const char* next = nullptr;
    for (; most > 0 && p < end && (read(p, &next) & kNumber) != 0; --most) p = next;
    return p;
  }
  /// Behind CR, LF, and '/' where asked for.
  static const char* line_ends(const char* p, const char* end, bool slash = false) {
    while (p < end && (*p == '\r' || *p == '\n' || (slash && *p == '/'))) ++p;
    return p;
  }

  struct Spaces {
    const char* end;
    const char* last;      // where the last of them starts
    const char* line_end;  // behind the last CR or LF, null without one
  };
  Spaces spaces(const char* p, const char* end) const {
    Spaces found{p, p, nullptr};
    for (const char* next = nullptr; found.end < end;) {
      const uint8_t bits = read(found.end, &next);
      if ((bits & kSpace) == 0) break;
      if ((bits & kLineEnd) != 0) found.line_end = next;
      found.last = found.end;
      found.end = next;
    }
    return found;
  }
  /// \s+(?!\S)|\s+ for a run that starts at `p`.
  static const char* all_but_last(const Spaces& found, const char* p, bool at_end) {
    return at_end || found.last == p ? found.end : found.last;
  }

  /// Behind 's 't 're 've 'm 'll 'd at `p`, which is an apostrophe; null where none is. Only lower case.
  static const char* contraction(const char* p, const char* end) {
    if (end - p < 2) return nullptr;
    const char a = p[1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return p + 2;
    if (end - p < 3) return nullptr;
    const char b = p[2];
    return (b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l') ? p + 3 : nullptr;
  }
  /// The same in any case; U+017F is an s.
  static const char* any_case_contraction(const char* p, const char* end) {
    if (end - p < 2) return nullptr;
    const char a = static_cast<char>(p[1] | 0x20);
    if (static_cast<unsigned char>(p[1]) < 0x80) {
      if (a == 's' || a == 't' || a == 'm' || a == 'd') return p + 2;
      if (end - p < 3 || static_cast<unsigned char>(p[2]) >= 0x80) return nullptr;
      const char b = static_cast<char>(p[2] | 0x20);
      return (b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l') ? p + 3 : nullptr;
    }
    return end - p >= 3 && p[1] == '\xc5' && p[2] == '\xbf' ? p + 3 : nullptr;
  }

 private:
  const ClassTable& table_;
};

/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
class Gpt2Scanner : public ScannerBase {
 public:
  Gpt2Scanner() : ScannerBase(ClassTable::plain()) {}
  const char* next(const char* p, const char* end, bool* /*gap*/) const {
    if (*p == '\'') {
      if (const char* after = contraction(p, end)) return after;
    }
    const char* const q = *p == ' ' && p + 1 < end ? p + 1 : p;
    const char* after = ascii_letters(q, end);
    if (after > q && (after == end || static_cast<unsigned char>(*after) < 0x80)) return after;
    const uint8_t bits = read(q, &after);
    if ((bits & kLetter) != 0) return letters(after, end);
    if ((bits & kNumber) != 0) return run(after, end, kNumber);
    if ((bits & kSpace) == 0) return run_without(after, end, kLetter | kNumber | kSpace);
    const Spaces found = spaces(p, end);
    return all_but_last(found, p, found.end == end);
  }
};

/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,kDigits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
/// \s+(?!\S)|\s+, where kEndFirst with \s++$ before \s*[\r\n]+: cl100k, Llama 3 (3 digits) and Qwen 2 (1).
template <int kDigits, bool kEndFirst = false>
class Cl100kScanner : public ScannerBase {
 public:
  Cl100kScanner() : ScannerBase(ClassTable::plain()) {}
  const char* next(const char* p, const char* end, bool* /*gap*/) const {
    if (*p == '\'') {
      if (const char* after = any_case_contraction(p, end)) return after;
    }
    const char* const first = *p == ' ' ? p + 1 : p;
    if (const char* const word = ascii_letters(first, end);
        word > first && (word == end || static_cast<unsigned char>(*word) < 0x80)) {
      return word;
    }
    const char* q = nullptr;
    const uint8_t bits = read(p, &q);
    if ((bits & kLetter) != 0) return letters(q, end);
    if ((bits & kNumber) != 0) return kDigits == 1 ? q : numbers(q, end, kDigits - 1);
    const char* after = nullptr;
    const uint8_t second = q < end ? read(q, &after) : uint8_t{kSpace};
    if ((bits & kLineEnd) == 0 && (second & kLetter) != 0) return letters(after, end);
    constexpr uint8_t known = kLetter | kNumber | kSpace;
    if ((bits & known) == 0) return line_ends(run_without(q, end, known), end);
    if (*p == ' ' && (second & known) == 0) return line_ends(run_without(after, end, known), end);
    const Spaces found = spaces(p, end);
    if (kEndFirst && found.end == end) return end;
    if (found.line_end != nullptr) return found.line_end;
    return all_but_last(found, p, found.end == end);
  }
};

/// o200k: words that begin a capital anew (the pattern stands in split_scanner.cpp).
class O200kScanner : public ScannerBase {
 public:
  O200kScanner() : ScannerBase(ClassTable::plain()) {}
  const char* next(const char* p, const char* end, bool* /*gap*/) const {
    const char* q = nullptr;
    const uint8_t bits = read(p, &q);
    const bool prefix = (bits & (kLetter | kNumber | kLineEnd)) == 0;
    const char* word = prefix ? lower_word(q, end) : nullptr;
    if (word == nullptr && (bits & (kLetter | kMark)) != 0) word = lower_word(p, end);
    if (word == nullptr && prefix) word = upper_word(q, end);
    if (word == nullptr && (bits & (kLetter | kMark)) != 0) word = upper_word(p, end);
    if (word != nullptr) {
      const char* const after = word < end && *word == '\'' ? any_case_contraction(word, end) : nullptr;
      return after != nullptr ? after : word;
    }
    if ((bits & kNumber) != 0) return numbers(q, end, 2);
    constexpr uint8_t known = kLetter | kNumber | kSpace;
    const char* const r = *p == ' ' ? q : p;
    if (r < end && !is(r, end, known)) return line_ends(run_without(r, end, known), end, true);
    const Spaces found = spaces(p, end);
    if (found.line_end != nullptr) return found.line_end;
    return all_but_last(found, p, found.end == end);
  }

 private:
  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ at `p`, null where it does not match.
  const char* lower_word(const char* p, const char* end) const {
    const char* last_both = nullptr;  // behind the last character that belongs to both sets
    const char* after = nullptr;
    while (p < end) {
      const uint8_t bits = read(p, &after);
      if ((bits & kUpper) == 0) {
        if ((bits & kLower) != 0) return run(after, end, kLower);
        break;
      }
      p = after;
      if ((bits & kLower) != 0) last_both = p;
    }
    return last_both;
  }
  // The first set once or more, where lower_word does not match.
  const char* upper_word(const char* p, const char* end) const {
    const char* const after = run(p, end, kUpper);
    return after > p ? after : nullptr;
  }
};

/// DeepSeek's third pattern (it stands in split_scanner.cpp).
class DeepSeekWordScanner : public ScannerBase {
 public:
  explicit DeepSeekWordScanner(const ClassTable& table = ClassTable::plain(), uint8_t stop = 0)
      : ScannerBase(table), stop_(stop), ascii_stops_((table[U'a'] & kLetter) == 0) {}
  const char* next(const char* p, const char* end, bool* gap) const {
    constexpr uint8_t word = kLetter | kMark;
    const char* q = nullptr;
    const uint8_t bits = read(p, &q);
    const bool ascii = static_cast<unsigned char>(*p) < 0x80;
    if (ascii && (bits & kPunctuation) != 0) {
      const char* const after = ascii_letters(q, end);
      if (after > q) return after;
    }
    if ((bits & kLetter) != 0) return word_run(q, end);
    const char* after = nullptr;
    const uint8_t second = q < end ? read(q, &after) : uint8_t{0};
    if ((bits & (kLineEnd | kPunctuation)) == 0 && (second & word) != 0) return word_run(after, end);
    if ((bits & kMark) != 0) return q;
    if ((bits & kPunctuation) != 0) return punctuation_run(q, end);
    if (*p == ' ' && (second & kPunctuation) != 0) return punctuation_run(after, end);
    if ((bits & kSpace) != 0) {
      const Spaces found = spaces(p, end);
      if (found.line_end != nullptr) return found.line_end;
      return all_but_last(found, p, found.end == end || is(found.end, end, stop_));
    }
    *gap = true;
    for (p = q; p < end; p = q) {
      const uint8_t now = read(p, &q);
      if ((now & (word | kPunctuation | kSpace | stop_)) != 0) return p;
      if (is(q, end, word)) return p;
    }
    return end;
  }

 private:
  const char* word_run(const char* p, const char* end) const {
    // Where ASCII ends the text, its letters may not be taken unseen.
    return ascii_stops_ ? run(p, end, kLetter | kMark) : letters(p, end, kLetter | kMark);
  }

  const char* punctuation_run(const char* p, const char* end) const {
    p = run(p, end, kPunctuation);
    return ascii_stops_ ? p : line_ends(p, end);
  }

  uint8_t stop_;
  bool ascii_stops_;
};

/// DeepSeek V3's three patterns one after the other: \p{N}{1,3}, runs of Chinese and Japanese characters, the third.
class DeepSeekScanner : public ScannerBase {
 public:
  DeepSeekScanner() : ScannerBase(ClassTable::between()) {}
  const char* next(const char* p, const char* end, bool* gap) const {
    const char* q = nullptr;
    if ((read(p, &q) & kStop) == 0) return words_.next(p, end, gap);
    if (const char* const after = numbers_.next(p, end, gap); !*gap) return after;
    *gap = false;
    return chinese_.next(p, end, gap);
  }

 private:
  class Numbers : public ScannerBase {
   public:
    Numbers() : ScannerBase(ClassTable::plain()) {}
    const char* next(const char* p, const char* end, bool* gap) const {
      const char* const after = numbers(p, end, 3);
      *gap = after == p;
      return after;
    }
  };
  Numbers numbers_;
  DeepSeekWordScanner words_{ClassTable::between(), kStop}, chinese_{ClassTable::chinese(), kStop};
};

/// \p{N}{1,3}
class NumbersScanner : public ScannerBase {
 public:
  NumbersScanner() : ScannerBase(ClassTable::plain()) {}
  const char* next(const char* p, const char* end, bool* gap) const {
    const char* const after = numbers(p, end, 3);
    *gap = after == p;
    return *gap ? run_without(p, end, kNumber) : after;
  }
};

/// CLIP's: the two special tokens, contractions, letters, single numbers, others; white space lies between.
class ClipScanner : public ScannerBase {
 public:
  ClipScanner() : ScannerBase(ClassTable::plain()) {}
  const char* next(const char* p, const char* end, bool* gap) const {
    const std::string_view rest(p, static_cast<size_t>(end - p));
    if (*p == '<') {
      for (const std::string_view token : {"<|startoftext|>", "<|endoftext|>"}) {
        if (rest.substr(0, token.size()) == token) return p + token.size();
      }
    }
    if (*p == '\'') {
      if (const char* after = contraction(p, end)) return after;
    }
    const char* q = nullptr;
    const uint8_t bits = read(p, &q);
    if ((bits & kLetter) != 0) return letters(q, end);
    if ((bits & kNumber) != 0) return q;
    *gap = (bits & kSpace) != 0;
    return *gap ? run(q, end, kSpace) : run_without(q, end, kLetter | kNumber | kSpace);
  }
};

/// Calls found(begin, end) for each match, as a search with the pattern would.
using FindAll = void (*)(std::string_view text, const std::function<void(size_t begin, size_t end)>& found);
/// The scanner of a regular expression that is known by its text; null for others.
FindAll find_scanner(std::string_view pattern);

enum class Known {
  none,
  gpt2,
  cl100k,
  cl100k_end_first,
  qwen2,
  o200k,
  deepseek_numbers,
  deepseek_chinese,
  deepseek_words,
  clip
};
Known recognize(std::string_view pattern);

}  // namespace mica::split
