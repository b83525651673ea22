#include "mica/tokenizers/moses_tokenizer.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "mica/tokenizers/moses_characters.h"
#include "mica/tokenizers/utf8.h"

namespace mica::moses {
namespace {

bool is_alpha(char32_t c) {
  return has(c, kAlpha);
}
bool is_alnum(char32_t c) {
  return has(c, kAlnum);
}
bool is_number(char32_t c) {
  return has(c, kNumber);
}

// Runs of white space to one blank, none at the ends, and no control characters.
PlacedText clean(const PlacedText& text) {
  PlacedText cleaned;
  cleaned.reserve(text.size());
  for (const PlacedCharacter& one : text) {
    const bool white = is_python_space(one.c);
    if (white && !cleaned.empty() && cleaned.back().c == U' ') continue;
    if (white) {
      cleaned.push_back({U' ', one.begin, one.end});
    } else {
      cleaned.push_back(one);
    }
  }
  cleaned.erase(std::remove_if(cleaned.begin(), cleaned.end(), [](const auto& one) { return one.c < 0x20; }),
                cleaned.end());
  strip_python_space(cleaned);
  return cleaned;
}

// Blanks around what is no letter, digit or blank, but for . ' ` , and -.
void pad_signs(PlacedText& text) {
  PlacedText padded;
  padded.reserve(text.size() * 2);
  for (const PlacedCharacter& one : text) {
    const char32_t c = one.c;
    const bool stays =
        is_alnum(c) || is_python_space(c) || c == U'.' || c == U'\'' || c == U'`' || c == U',' || c == U'-';
    append(padded, stays ? U"" : U" ", one);
    padded.push_back(one);
    append(padded, stays ? U"" : U" ", one);
  }
  text = std::move(padded);
}

// a-b to a @-@ b.
void split_dashes(PlacedText& text) {
  PlacedText split;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool inside = i > 0 && i + 1 < text.size() && is_alnum(text[i - 1].c) && is_alnum(text[i + 1].c);
    if (text[i].c == U'-' && inside) {
      append(split, U" @-@ ", text[i]);
    } else {
      split.push_back(text[i]);
    }
  }
  text = std::move(split);
}

// Dots in a row stay together: ... is spelled DOTDOTDOTMULTI until the end. So a text that spells it is dots as well.
void hide_dots(PlacedText& text) {
  PlacedText hidden;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && text[end].c == U'.') ++end;
    if (end - i < 2) {
      hidden.push_back(text[i++]);
      continue;
    }
    append(hidden, U" ", text[i]);
    for (size_t k = i; k < end; ++k) append(hidden, U"DOT", text[k]);
    append(hidden, end < text.size() ? U"MULTI " : U"MULTI", text[end - 1]);
    i = end;
  }
  text = std::move(hidden);
}

void show_dots(PlacedText& text) {
  const auto is_here = [&](size_t at, std::u32string_view wanted) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (at + i >= text.size() || text[at + i].c != wanted[i]) return false;
    }
    return true;
  };
  PlacedText shown;
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (is_here(end, U"DOT")) end += 3;
    const bool dots = end > i && is_here(end, U"MULTI");
    if (end == i) ++end;
    for (; i < end; i += dots ? 3 : 1) {
      shown.push_back(dots ? PlacedCharacter{U'.', text[i].begin, text[i + 2].end} : text[i]);
    }
    if (dots) i += 5;
  }
  text = std::move(shown);
}

// Blanks around commas, but for those between numbers. A character beside a comma belongs to one match only.
void split_commas(PlacedText& text) {
  PlacedText split;
  for (size_t i = 0; i < text.size(); ++i) {
    split.push_back(text[i]);
    if (i + 1 < text.size() && text[i + 1].c == U',' && !is_number(text[i].c)) append(split, U" , ", text[++i]);
  }
  text = std::exchange(split, {});
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i].c == U',' && i + 1 < text.size() && !is_number(text[i + 1].c)) {
      append(split, U" , ", text[i]);
      split.push_back(text[++i]);
    } else {
      split.push_back(text[i]);
    }
  }
  text = std::move(split);
  if (text.size() >= 2 && text.back().c == U',' && is_number(text[text.size() - 2].c)) {
    const PlacedCharacter comma = text.back();
    text.pop_back();
    append(text, U" , ", comma);
  }
}

// don't to don 't in English, l'eau to l' eau in French, elsewhere a word of its own.
void split_apostrophes(PlacedText& text, const std::string& language) {
  const auto no_letter = [](char32_t c) { return !is_alpha(c); };
  const auto replace = [&](const auto& left, const auto& right, std::u32string_view to) {
    replace_between(text, U'\'', to, left, right);
  };
  if (language != "en" && language != "fr") {
    replace_all(text, U"'", U" ' ");
    return;
  }
  const bool english = language == "en";
  replace(no_letter, no_letter, U" ' ");
  replace([&](char32_t c) { return !is_alpha(c) && !(english && is_number(c)); }, is_alpha, U" ' ");
  replace(is_alpha, no_letter, U" ' ");
  replace(is_alpha, is_alpha, english ? U" '" : U"' ");
  if (english)
    replace(
        is_number, [](char32_t c) { return c == U's'; }, U" '");
}

// Whether the full stop at the end of the word belongs to it.
bool keeps_full_stop(const PlacedText& word, const PlacedText* next, const Language& language) {
  std::string prefix;
  bool dot = false, letter = false;
  for (size_t i = 0; i + 1 < word.size(); ++i) {
    utf8::append(word[i].c, prefix);
    dot = dot || word[i].c == U'.';
    letter = letter || is_alpha(word[i].c);
  }
  if ((dot && letter) || language.prefixes.contains(prefix)) return true;
  if (next == nullptr) return false;
  const char32_t first = next->front().c;
  return has(first, kLowerCase) || (first >= U'0' && first <= U'9' && language.numeric_prefixes.contains(prefix));
}

std::vector<PlacedText> split_full_stops(std::vector<PlacedText> words, const Language& language) {
  std::vector<PlacedText> split;
  for (size_t i = 0; i < words.size(); ++i) {
    PlacedText& word = words[i];
    const bool ends = word.size() > 1 && word.back().c == U'.' &&
                      !keeps_full_stop(word, i + 1 < words.size() ? &words[i + 1] : nullptr, language);
    const PlacedCharacter stop = word.back();
    if (ends) word.pop_back();
    split.push_back(std::move(word));
    if (ends) split.push_back({stop});
  }
  // .' at the end of the text.
  if (!split.empty() && split.back().size() >= 2) {
    PlacedText& last = split.back();
    const PlacedText end(last.end() - 2, last.end());
    if (end[0].c == U'.' && end[1].c == U'\'') {
      last.resize(last.size() - 2);
      if (last.empty()) split.pop_back();
      split.push_back({end[0]});
      split.push_back({end[1]});
    }
  }
  return split;
}

void escape(PlacedText& word) {
  constexpr std::pair<char32_t, std::u32string_view> kSpelled[] = {
      {U'&', U"&amp;"},   {U'|', U"&#124;"}, {U'<', U"&lt;"},  {U'>', U"&gt;"},
      {U'\'', U"&apos;"}, {U'"', U"&quot;"}, {U'[', U"&#91;"}, {U']', U"&#93;"}};
  PlacedText escaped;
  for (const PlacedCharacter& one : word) {
    const auto* const found = std::find_if(std::begin(kSpelled), std::end(kSpelled),
                                           [&](const auto& spelled) { return spelled.first == one.c; });
    if (found == std::end(kSpelled)) {
      escaped.push_back(one);
    } else {
      append(escaped, found->second, one);
    }
  }
  word = std::move(escaped);
}

}  // namespace

std::vector<PlacedText> words(PlacedText text, const Language& language, const TokenizerSettings& settings) {
  text = clean(text);
  pad_signs(text);
  if (settings.splits_dashes) split_dashes(text);
  hide_dots(text);
  split_commas(text);
  split_apostrophes(text, language.code);
  std::vector<PlacedText> all = split_full_stops(split_white(text), language);
  for (PlacedText& word : all) {
    show_dots(word);
    if (settings.escapes) escape(word);
  }
  return all;
}

}  // namespace mica::moses
