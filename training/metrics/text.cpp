#include "mica/training/metrics/text.h"

#include <algorithm>
#include <iterator>

#include <utf8proc.h>

#include "mica/base/error.h"
#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica::metrics {

Characters characters(std::string_view text) {
  std::string storage;
  const std::string_view valid = utf8::valid(text, storage);
  Characters result;
  result.reserve(valid.size());
  for (const char* p = valid.data(); p != valid.data() + valid.size();) result.push_back(utf8::next(p));
  return result;
}

std::string to_utf8(const Characters& text) {
  std::string result;
  for (const char32_t c : text) utf8::append(c, result);
  return result;
}

bool is_space(char32_t c) {
  return unicode::has(c, unicode::kWhitespace) || (c >= 0x1c && c <= 0x1f);
}

CharacterKind kind(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharacterKind::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharacterKind::number;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return CharacterKind::punctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return CharacterKind::symbol;
    default:
      return CharacterKind::other;
  }
}

bool is_ascii_punctuation(char32_t c) {
  const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return c > 0x20 && c < 0x7f && !alphanumeric;
}

namespace {

bool is_cased(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT;
}

// What may stand inside a word without being a part of it, as accents and apostrophes do.
bool is_case_ignorable(char32_t c) {
  constexpr std::u32string_view kMarks = U"'.:\u00b7\u0387\u055f\u05f4\u2018\u2019\u2024\u2027\uff07\uff0e\uff1a";
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return kMarks.find(c) != std::u32string_view::npos;
  }
}

// A capital sigma at a word's end has a lower case of its own.
bool is_final(const Characters& text, size_t at) {
  size_t before = at, after = at + 1;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return before > 0 && is_cased(text[before - 1]) && (after == text.size() || !is_cased(text[after]));
}

}  // namespace

Characters lower(const Characters& text) {
  Characters result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == U'\u03a3' && is_final(text, i)) {
      result += U'\u03c2';
      continue;
    }
    char32_t out[2];
    const int count = unicode::to_lower(text[i], out);
    result.append(out, static_cast<size_t>(count));
  }
  return result;
}

Characters strip(const Characters& text) {
  const auto begin = std::find_if_not(text.begin(), text.end(), is_space);
  const auto end = std::find_if_not(text.rbegin(), std::make_reverse_iterator(begin), is_space).base();
  return {begin, end};
}

std::vector<Word> words(const Characters& text) {
  std::vector<Word> result;
  bool inside = false;
  for (const char32_t c : text) {
    const bool space = is_space(c);
    if (!space && !inside) result.emplace_back();
    if (!space) result.back() += c;
    inside = !space;
  }
  return result;
}

void check_pairs(const char* metric, size_t predictions, size_t references) {
  if (predictions == references && references > 0) return;
  throw Error(std::to_string(predictions) + " predictions, " + std::to_string(references) + " references", metric,
              "give one prediction for each reference, at least one");
}

}  // namespace mica::metrics
