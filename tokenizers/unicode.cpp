#include "mica/tokenizers/unicode.h"

#include <algorithm>

#include <utf8proc.h>

#include "mica/tokenizers/unicode_tables.h"

namespace mica::unicode {
namespace {

constexpr tables::Range kChineseRanges[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},
                                            {0x20000, 0x2a6df}, {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f},
                                            {0x2b920, 0x2ceaf}, {0x2f800, 0x2fa1f}};

// Hangul syllables decompose by arithmetic (The Unicode Standard, 3.12).
constexpr char32_t kSyllables = 0xac00, kLeads = 0x1100, kVowels = 0x1161, kTails = 0x11a7;
constexpr char32_t kTailCount = 28, kVowelCount = 21, kLeadCount = 19;
constexpr char32_t kSyllableCount = kLeadCount * kVowelCount * kTailCount;

int combining_class(char32_t c) {
  return has(c, kReordered) ? utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class : 0;
}

void decompose_one(char32_t c, bool compatible, std::vector<Change>& out) {
  if (c - kSyllables < kSyllableCount) {
    const char32_t s = c - kSyllables;
    out.push_back({kLeads + s / (kVowelCount * kTailCount), 0});
    out.push_back({kVowels + s / kTailCount % kVowelCount, 1});
    if (s % kTailCount != 0) out.push_back({kTails + s % kTailCount, 1});
    return;
  }
  if (!has(c, kDecomposable)) {
    out.push_back({c, 0});
    return;
  }
  utf8proc_int32_t mapped[32];  // the longest compatibility decomposition has 18 characters
  int boundary = 0;
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : utf8proc_option_t{}));
  const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), mapped, 32, options, &boundary);
  if (n <= 0 || n > 32) {
    out.push_back({c, 0});
    return;
  }
  for (utf8proc_ssize_t i = 0; i < n; ++i) out.push_back({static_cast<char32_t>(mapped[i]), i > 0 ? 1 : 0});
}

// The character that a and b compose to, or 0.
char32_t compose_pair(char32_t a, char32_t b) {
  if (a - kLeads < kLeadCount && b - kVowels < kVowelCount) {
    return kSyllables + ((a - kLeads) * kVowelCount + (b - kVowels)) * kTailCount;
  }
  if (a - kSyllables < kSyllableCount && (a - kSyllables) % kTailCount == 0 && b - kTails - 1 < kTailCount - 1) {
    return a + (b - kTails);
  }
  if (!has(b, kComposes)) return 0;
  utf8proc_int32_t pair[2] = {static_cast<utf8proc_int32_t>(a), static_cast<utf8proc_int32_t>(b)};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  if (utf8proc_normalize_utf32(pair, 2, options) != 1) return 0;
  const auto composed = static_cast<char32_t>(pair[0]);
  return has(composed, kDecomposable) ? composed : 0;
}

}  // namespace

PropertyTable::PropertyTable() {
  pages_.emplace_back();  // page 0 is the empty one, shared
  const auto mark = [&](std::span<const tables::Range> ranges, uint16_t bit) {
    for (const auto& range : ranges) {
      for (uint32_t c = range.first; c <= range.last; ++c) {
        uint16_t& page = page_of_[c >> 8];
        if (page == 0) {
          page = static_cast<uint16_t>(pages_.size());
          pages_.emplace_back();
        }
        pages_[page][c & 0xff] |= bit;
      }
    }
  };
  mark(tables::whitespace, kWhitespace);
  mark(tables::punctuation, kPunctuation);
  mark(tables::control, kControl);
  mark(tables::nonspacing_mark, kNonspacingMark);
  mark(tables::combining_mark, kCombiningMark);
  mark(tables::numeric, kNumeric);
  mark(tables::word, kWord);
  mark(tables::decomposable, kDecomposable);
  mark(tables::reordered, kReordered);
  mark(tables::composes, kComposes);
  mark(kChineseRanges, kChinese);
}

const PropertyTable& properties() {
  static const PropertyTable table;
  return table;
}

int to_lower(char32_t c, char32_t out[2]) {
  out[0] = c;
  if (c < 0x80) {
    if (c >= 'A' && c <= 'Z') out[0] = c + 32;
    return 1;
  }
  if (c == 0x130) {  // the only lower case of two characters
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
  }
  const auto& runs = tables::lowercase;
  const auto it = std::upper_bound(runs.begin(), runs.end(), c,
                                   [](char32_t value, const tables::CaseRun& run) { return value < run.first; });
  if (it != runs.begin()) {
    const auto& run = *(it - 1);
    if (c <= run.last && (c - run.first) % run.step == 0) {
      out[0] = static_cast<char32_t>(static_cast<int32_t>(c) + run.delta);
    }
  }
  return 1;
}

void decompose(std::span<const char32_t> text, bool compatible, std::vector<Change>& out) {
  out.clear();
  out.reserve(text.size());
  for (const char32_t c : text) decompose_one(c, compatible, out);
  // Canonical ordering: runs of characters with a class other than 0 are sorted by it, stably.
  std::vector<std::pair<int, Change>> run;
  for (size_t i = 0; i < out.size();) {
    if (combining_class(out[i].c) == 0) {
      ++i;
      continue;
    }
    size_t end = i;
    run.clear();
    for (int cc = 0; end < out.size() && (cc = combining_class(out[end].c)) != 0; ++end) run.push_back({cc, out[end]});
    std::stable_sort(run.begin(), run.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [cc, change] : run) out[i++] = change;
    i = end;
  }
}

void compose(std::vector<Change>& text) {
  // `starter` is where the last character of class 0 was written; `last_class` is the class of what was written after
  // it since (0: nothing).
  size_t written = 0;
  size_t starter = SIZE_MAX;
  int last_class = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const Change current = text[i];
    const int cc = combining_class(current.c);
    if (starter != SIZE_MAX && (last_class < cc || last_class == 0)) {
      if (const char32_t composed = compose_pair(text[starter].c, current.c); composed != 0) {
        text[starter] = {composed, text[starter].change + current.change - 1};
        continue;
      }
    }
    if (cc == 0) {
      starter = written;
      last_class = 0;
    } else {
      last_class = cc;
    }
    text[written++] = current;
  }
  text.resize(written);
}

}  // namespace mica::unicode
