#include "mica/tokenizers/moses_punctuation.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <utility>

#include "mica/tokenizers/chat/characters.h"

namespace mica::moses {
namespace {

struct Replacement {
  std::u32string_view from, to;
};

constexpr Replacement kUnicodePunctuation[] = {
    {U"，", U","},  {U"、", U","},  {U"”", U"\""}, {U"“", U"\""}, {U"∶", U":"},  {U"：", U":"}, {U"？", U"?"},
    {U"《", U"\""}, {U"》", U"\""}, {U"）", U")"}, {U"！", U"!"}, {U"（", U"("}, {U"；", U";"}, {U"」", U"\""},
    {U"「", U"\""}, {U"０", U"0"},  {U"１", U"1"}, {U"２", U"2"}, {U"３", U"3"}, {U"４", U"4"}, {U"５", U"5"},
    {U"６", U"6"},  {U"７", U"7"},  {U"８", U"8"}, {U"９", U"9"}, {U"～", U"~"}, {U"’", U"'"},  {U"…", U"..."},
    {U"━", U"-"},   {U"〈", U"<"},  {U"〉", U">"}, {U"【", U"["}, {U"】", U"]"}, {U"％", U"%"}};

constexpr Replacement kBrackets[] = {{U"\r", U""}, {U"(", U" ("}, {U")", U") "}};
constexpr Replacement kInsideBrackets[] = {{U"( ", U"("}, {U" )", U")"}};
constexpr Replacement kQuotes[] = {{U" :", U":"}, {U" ;", U";"}, {U"`", U"'"}, {U"''", U" \" "}, {U"„", U"\""},
                                   {U"“", U"\""}, {U"”", U"\""}, {U"–", U"-"}, {U"—", U" - "}};
// A quote between letters is an apostrophe like any other.
constexpr Replacement kMoreQuotes[] = {{U"´", U"'"},
                                       {U"‘", U"'"},
                                       {U"‚", U"'"},
                                       {U"’", U"'"},
                                       {U"''", U"\""},
                                       {U"…", U"..."},
                                       {U"\u00a0«\u00a0", U"\""},
                                       {U"«\u00a0", U"\""},
                                       {U"«", U"\""},
                                       {U"\u00a0»\u00a0", U"\""},
                                       {U"\u00a0»", U"\""},
                                       {U"»", U"\""}};
constexpr Replacement kNoBreakSpaces[] = {{U"\u00a0%", U"%"},    {U"nº\u00a0", U"nº "}, {U"\u00a0:", U":"},
                                          {U"\u00a0ºC", U" ºC"}, {U"\u00a0cm", U" cm"}, {U"\u00a0?", U"?"},
                                          {U"\u00a0!", U"!"},    {U"\u00a0;", U";"},    {U",\u00a0", U", "}};

template <size_t N>
void replace_each(PlacedText& text, const Replacement (&all)[N]) {
  for (const auto& [from, to] : all) replace_all(text, from, to);
}

char32_t at(const PlacedText& text, size_t i) {
  return i < text.size() ? text[i].c : U'\0';
}

bool is_one_of_languages(std::string_view language, std::initializer_list<std::string_view> languages) {
  return std::find(languages.begin(), languages.end(), language) != languages.end();
}

bool is_one_of(char32_t c, std::u32string_view characters) {
  return c != 0 && characters.find(c) != characters.npos;
}

void join_blanks(PlacedText& text) {
  text.erase(std::unique(text.begin(), text.end(),
                         [](const PlacedCharacter& a, const PlacedCharacter& b) { return a.c == U' ' && b.c == U' '; }),
             text.end());
}

// English: a quote goes behind the commas and full stops that follow it.
void move_quotes_back(PlacedText& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i].c != U'"') continue;
    while (is_one_of(at(text, i + 1), U",.")) {
      std::swap(text[i], text[i + 1]);
      ++i;
    }
  }
}

// German, Spanish and French: a quote goes before the comma in front of it, and before full stops that do not end the
// text. What stands behind is part of the match, and no full stop of the next one.
void move_quotes_forward(PlacedText& text) {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i].c != U',' || text[i + 1].c != U'"') continue;
    std::swap(text[i], text[i + 1]);
    ++i;
  }
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (at(text, end) == U'.') ++end;
    if (end == i) {
      ++i;
      continue;
    }
    if (at(text, end) != U'"' || end + 1 >= text.size() || text[end + 1].c == U'<') {
      i = end;
      continue;
    }
    std::rotate(text.begin() + static_cast<std::ptrdiff_t>(i), text.begin() + static_cast<std::ptrdiff_t>(end),
                text.begin() + static_cast<std::ptrdiff_t>(end) + 1);
    for (i = end + 1; i < text.size() && is_python_space(text[i].c);) ++i;
    if (at(text, i) != U'<' && i < text.size()) ++i;
  }
}

}  // namespace

void replace_unicode_punctuation(PlacedText& text) {
  PlacedText replaced;
  replaced.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i].c;
    if (c == U'。' || c == U'．') {
      append(replaced, U". ", text[i]);
      while (i + 1 < text.size() && is_python_space(text[i + 1].c)) ++i;
      continue;
    }
    const auto* const known = std::find_if(std::begin(kUnicodePunctuation), std::end(kUnicodePunctuation),
                                           [c](const Replacement& one) { return one.from[0] == c; });
    if (c < 0x80 || known == std::end(kUnicodePunctuation)) {
      replaced.push_back(text[i]);
    } else {
      append(replaced, known->to, text[i]);
    }
  }
  text = std::move(replaced);
}

void normalize_punctuation(PlacedText& text, std::string_view language) {
  const auto is = [](char32_t wanted) { return [wanted](char32_t c) { return c == wanted; }; };
  replace_each(text, kBrackets);
  join_blanks(text);
  replace_between(text, U' ', U"", is(U')'), [](char32_t c) { return is_one_of(c, U".!:?;,"); });
  replace_each(text, kInsideBrackets);
  replace_between(text, U' ', U"", jinja::is_decimal, is(U'%'));
  replace_each(text, kQuotes);
  join_blanks(text);
  replace_each(text, kMoreQuotes);
  replace_each(text, kNoBreakSpaces);
  join_blanks(text);
  const bool commas = is_one_of_languages(language, {"de", "es", "cz", "cs", "fr"});
  if (language == "en") move_quotes_back(text);
  if (is_one_of_languages(language, {"de", "es", "fr"})) move_quotes_forward(text);
  replace_between(text, U'\u00a0', commas ? U"," : U".", jinja::is_decimal, jinja::is_decimal);
  strip_python_space(text);
}

void remove_non_printing(PlacedText& text) {
  std::erase_if(text, [](const PlacedCharacter& one) { return jinja::is_other(one.c); });
}

}  // namespace mica::moses
