#include "mica/tokenizers/python_text.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/unicode_categories.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using unicode::tables::Category;

std::optional<Category> category_of(char32_t c) {
  for (const auto& run : unicode::tables::categories) {
    if (c >= run.first && c <= run.last && (c - run.first) % run.step == 0) return run.category;
  }
  return std::nullopt;
}

bool in_ranges(char32_t c, const std::pair<char32_t, char32_t>* begin, const std::pair<char32_t, char32_t>* end) {
  return std::any_of(begin, end, [&](const auto& range) { return c >= range.first && c <= range.second; });
}

// Unicode's Case_Ignorable: marks, modifiers, format characters, and punctuation inside words.
bool is_ignorable(char32_t c) {
  static constexpr std::pair<char32_t, char32_t> kOther[] = {
      {0x27, 0x27},     {0x2e, 0x2e},     {0x3a, 0x3a},     {0x5e, 0x5e},     {0x60, 0x60},     {0xa8, 0xa8},
      {0xad, 0xad},     {0xaf, 0xaf},     {0xb4, 0xb4},     {0xb7, 0xb8},     {0x2c2, 0x2c5},   {0x2d2, 0x2df},
      {0x2e5, 0x2eb},   {0x2ed, 0x2ed},   {0x2ef, 0x2ff},   {0x375, 0x375},   {0x384, 0x385},   {0x387, 0x387},
      {0x488, 0x489},   {0x55f, 0x55f},   {0x5f4, 0x5f4},   {0x600, 0x605},   {0x61c, 0x61c},   {0x6dd, 0x6dd},
      {0x70f, 0x70f},   {0x180e, 0x180e}, {0x1fbd, 0x1fbd}, {0x1fbf, 0x1fc1}, {0x1fcd, 0x1fcf}, {0x1fdd, 0x1fdf},
      {0x1fed, 0x1fef}, {0x1ffd, 0x1ffe}, {0x200b, 0x200f}, {0x2018, 0x2019}, {0x2024, 0x2024}, {0x2027, 0x2027},
      {0x202a, 0x202e}, {0x2060, 0x2064}, {0x2066, 0x206f}, {0x20dd, 0x20e0}, {0x20e2, 0x20e4}, {0x309b, 0x309c},
      {0xa670, 0xa672}, {0xa700, 0xa716}, {0xa720, 0xa721}, {0xa789, 0xa78a}, {0xab5b, 0xab5b}, {0xfb1e, 0xfb1e},
      {0xfe13, 0xfe13}, {0xfe52, 0xfe52}, {0xfe55, 0xfe55}, {0xfeff, 0xfeff}, {0xff07, 0xff07}, {0xff0e, 0xff0e},
      {0xff1a, 0xff1a}, {0xff3e, 0xff3e}, {0xff40, 0xff40}, {0xffe3, 0xffe3}, {0xfff9, 0xfffb}, {0x1f3fb, 0x1f3ff}};
  return unicode::has(c, unicode::kNonspacingMark) || category_of(c) == Category::Lm ||
         in_ranges(c, std::begin(kOther), std::end(kOther));
}

bool is_cased(char32_t c) {
  static constexpr std::pair<char32_t, char32_t> kOther[] = {{0xaa, 0xaa},      {0xba, 0xba},       {0x2160, 0x217f},
                                                             {0x24b6, 0x24e9},  {0x1f130, 0x1f149}, {0x1f150, 0x1f169},
                                                             {0x1f170, 0x1f189}};
  const auto category = category_of(c);
  return category == Category::Lu || category == Category::Ll || category == Category::Lt ||
         in_ranges(c, std::begin(kOther), std::end(kOther));
}

}  // namespace

bool is_python_space(char32_t c) {
  return (c >= 0x1c && c <= 0x1f) || unicode::has(c, unicode::kWhitespace);
}

std::string_view strip_python_space(std::string_view text) {
  while (!text.empty()) {
    const char* p = text.data();
    if (!is_python_space(utf8::next(p))) break;
    text.remove_prefix(static_cast<size_t>(p - text.data()));
  }
  while (!text.empty()) {
    const size_t start = utf8::last_start(text, text.size());
    const char* p = text.data() + start;
    if (!is_python_space(utf8::next(p))) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

void python_lower(std::vector<PlacedCharacter>& text) {
  const auto ends_word = [&](size_t at) {
    size_t before = at, after = at + 1;
    while (before > 0 && is_ignorable(text[before - 1].c)) --before;
    while (after < text.size() && is_ignorable(text[after].c)) ++after;
    return before > 0 && is_cased(text[before - 1].c) && !(after < text.size() && is_cased(text[after].c));
  };
  std::vector<PlacedCharacter> lower;
  lower.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto [c, begin, end] = text[i];
    char32_t to[2] = {c, 0};
    int n = 1;
    if (c == 0x3a3) {
      to[0] = ends_word(i) ? 0x3c2 : 0x3c3;
    } else {
      n = unicode::to_lower(c, to);
    }
    for (int k = 0; k < n; ++k) lower.push_back({to[k], begin, end});
  }
  text = std::move(lower);
}

}  // namespace mica
