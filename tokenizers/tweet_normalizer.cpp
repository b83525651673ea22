#include "mica/tokenizers/tweet_normalizer.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mica/tokenizers/html_entities.h"
#include "mica/tokenizers/placed_text.h"
#include "mica/tokenizers/python_only.h"
#include "mica/tokenizers/tweet_characters.h"
#include "mica/tokenizers/tweet_words.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr std::pair<std::u32string_view, std::u32string_view> kContractions[] = {
    {U"cannot ", U"can not "}, {U"n't ", U" n't "},     {U"n 't ", U" n't "},  {U"ca n't", U"can't"},
    {U"ai n't", U"ain't"},     {U"'m ", U" 'm "},       {U"'re ", U" 're "},   {U"'s ", U" 's "},
    {U"'ll ", U" 'll "},       {U"'d ", U" 'd "},       {U"'ve ", U" 've "},   {U" p . m .", U"  p.m."},
    {U" p . m ", U" p.m "},    {U" a . m .", U" a.m."}, {U" a . m ", U" a.m "}};

// Bytes 0x80 to 0x9f of Windows-1252; 0 where it has nothing.
constexpr char32_t kWindows[] = {0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
                                 0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
                                 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178};

int digit_of(char32_t c) {
  if (c >= U'0' && c <= U'9') return static_cast<int>(c - U'0');
  if (c >= U'a' && c <= U'f') return static_cast<int>(c - U'a') + 10;
  return c >= U'A' && c <= U'F' ? static_cast<int>(c - U'A') + 10 : 16;
}

// A whole number as Python's int reads it: a sign, 0x before hexadecimal ones, single underscores between digits.
// Nothing for what is none, and for what is no character.
std::optional<char32_t> character_of_number(std::u32string_view body, int base) {
  if (!body.empty() && body[0] == U'+') body.remove_prefix(1);
  if (base == 16 && body.size() > 1 && body[0] == U'0' && (body[1] == U'x' || body[1] == U'X')) {
    body.remove_prefix(2);
    if (!body.empty() && body[0] == U'_') body.remove_prefix(1);
  }
  uint32_t number = 0;
  bool after_digit = false;
  for (const char32_t c : body) {
    if (c == U'_' && after_digit) {
      after_digit = false;
      continue;
    }
    const int digit = digit_of(c);
    if (digit >= base) return std::nullopt;
    number = std::min<uint32_t>(number * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit), 0x110000);
    after_digit = true;
  }
  if (!after_digit || number > 0x10ffff) return std::nullopt;
  if (number >= 0x80 && number <= 0x9f) {
    const char32_t c = kWindows[number - 0x80];
    return c != 0 ? std::optional(c) : std::nullopt;
  }
  return number >= 0xd800 && number < 0xe000 ? 0xfffd : number;
}

// &eacute; &#233; and &#xe9; to their character, unknown ones away. The reference takes &x...; for hexadecimal as well.
std::optional<char32_t> entity(std::u32string_view body) {
  const size_t marks = (body.starts_with(U'#') ? 1 : 0);
  const bool hexadecimal = body.size() > marks + 1 && body[marks] == U'x';
  if (marks > 0 || hexadecimal)
    return character_of_number(body.substr(marks + (hexadecimal ? 1 : 0)), hexadecimal ? 16 : 10);
  std::string name;
  for (const char32_t c : body) utf8::append(c, name);
  return html_entity(name);
}

PlacedText replace_entities(const PlacedText& text) {
  PlacedText replaced;
  std::u32string body;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i].c == U'&') {
      body.clear();
      size_t end = i + 1;
      for (; end < text.size() && text[end].c != U'&' && text[end].c != U';' && !tweet::is_space(text[end].c); ++end) {
        body += text[end].c;
      }
      if (end < text.size() && text[end].c == U';' && !body.empty()) {
        if (const auto c = entity(body)) replaced.push_back({*c, text[i].begin, text[end].end});
        i = end;
        continue;
      }
    }
    replaced.push_back(text[i]);
  }
  return replaced;
}

// At most three of a sign in a row.
PlacedText shorten_runs(const PlacedText& text) {
  PlacedText shortened;
  size_t run = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i].c;
    run = i > 0 && text[i - 1].c == c ? run + 1 : 1;
    const bool counts = c > 0x7f || !tweet::is_ascii_alnum(c);
    if (run <= 3 || !counts) shortened.push_back(text[i]);
  }
  return shortened;
}

bool begins_with(const PlacedText& word, std::u32string_view lower) {
  if (word.size() < lower.size()) return false;
  return std::equal(lower.begin(), lower.end(), word.begin(), [](char32_t wanted, const PlacedCharacter& one) {
    return one.c == wanted || (one.c >= U'A' && one.c <= U'Z' && one.c + 32 == wanted);
  });
}

PlacedText normalized_word(PlacedText word) {
  const PlacedCharacter whole{0, word.front().begin, word.back().end};
  PlacedText made;
  if (word.front().c == U'@') {
    append(made, U"@USER", whole);
  } else if (begins_with(word, U"http") || begins_with(word, U"www")) {
    append(made, U"HTTPURL", whole);
  } else if (word.size() == 1 && word.front().c == U'’') {
    append(made, U"'", whole);
  } else if (word.size() == 1 && word.front().c == U'…') {
    append(made, U"...", whole);
  } else {
    return word;
  }
  return made;
}

PlacedText normalize_tweet(PlacedText text) {
  replace_all(text, U"’", U"'");
  replace_all(text, U"…", U"...");
  text = shorten_runs(replace_entities(text));
  std::vector<PlacedText> words;
  for (const auto& [begin, end] : tweet_words(text)) {
    words.push_back(normalized_word(
        {text.begin() + static_cast<std::ptrdiff_t>(begin), text.begin() + static_cast<std::ptrdiff_t>(end)}));
  }
  text = join_words(words);
  for (const auto& [from, to] : kContractions) replace_all(text, from, to);
  return join_words(split_white(text));
}

}  // namespace

void TweetNormalizer::split(NormalizedText& text, std::vector<ByteRange>& pieces) const {
  std::vector<PlacedText> all;
  for (const ByteRange piece : pieces) {
    if (PlacedText tweet = normalize_tweet(placed_text(text, piece)); !tweet.empty()) all.push_back(std::move(tweet));
  }
  assign_words(all, text, pieces);
}

Json TweetNormalizer::to_json() const {
  no_tokenizer_json();
}

}  // namespace mica
