// The hand-written scanners against the regular expressions that they stand for, run by PCRE2.

#include "mica/tokenizers/split_scanner.h"

#include <random>

#include <gtest/gtest.h>

#include "mica/tokenizers/pattern.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using Ranges = std::vector<std::pair<size_t, size_t>>;

const std::pair<const char*, const char*> kPatterns[] = {
    {"gpt2", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {"cl100k",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"cl100k, as tiktoken has it now",
     R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)"},
    {"qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"o200k",
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
     R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
     R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {"numbers", R"(\p{N}{1,3})"},
    {"deepseek words",
     "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
     "?[\\p{P}\\p{S}]+[\r\n]*|"
     "\\s*[\r\n]+|\\s+(?!\\S)|\\s+"},
    {"clip", R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)"},
};

// Characters that Unicode 14 (PCRE2's) and 17 class alike.
class RandomText {
 public:
  explicit RandomText(uint32_t seed) : random_(seed) {}
  std::string next() {
    static constexpr std::pair<int, int> ranges[] = {
        {0x20, 0x7e},     {0x20, 0x7e},       {0x0, 0x1f},        {0x80, 0xff},       {0x100, 0x24f},
        {0x300, 0x36f},   {0x370, 0x3ff},     {0x400, 0x4ff},     {0x5d0, 0x5ea},     {0x620, 0x6ff},
        {0x900, 0x97f},   {0xe01, 0xe5b},     {0x1100, 0x11ff},   {0x1c5, 0x1cc},     {0x2000, 0x206f},
        {0x2070, 0x20a0}, {0x2150, 0x2188},   {0x2190, 0x2300},   {0x3000, 0x30ff},   {0x4e00, 0x4eff},
        {0x9fa0, 0x9faf}, {0xac00, 0xacff},   {0xf900, 0xf9ff},   {0xfe00, 0xfe0f},   {0xff00, 0xffef},
        {0xfff9, 0xffff}, {0x1d400, 0x1d4ff}, {0x1f300, 0x1f5ff}, {0x20000, 0x20010}, {0x10fffd, 0x10ffff}};
    static constexpr const char* pieces[] = {"'s",
                                             "'S",
                                             "'ll",
                                             "'LL",
                                             "'Ve",
                                             "'\u017f",
                                             "'re",
                                             "'",
                                             " ",
                                             "  ",
                                             "\n",
                                             "\r\n",
                                             "\n\n",
                                             "\t",
                                             "\u00a0",
                                             "\u2028",
                                             "a",
                                             "A",
                                             "ab",
                                             "AB",
                                             "1",
                                             "12",
                                             "1234",
                                             ".",
                                             "/",
                                             "//",
                                             "\u30a2\u30fb",
                                             "<|endoftext|>",
                                             "<|startoftext|>",
                                             "e\u0301"};
    std::string text;
    for (int n = pick(1, 12); n > 0; --n) {
      if (pick(0, 1) == 0) {
        text += pieces[pick(0, static_cast<int>(std::size(pieces)) - 1)];
        continue;
      }
      const auto [low, high] = ranges[pick(0, static_cast<int>(std::size(ranges)) - 1)];
      for (int k = pick(1, 4); k > 0; --k) utf8::append(static_cast<char32_t>(pick(low, high)), text);
    }
    return text;
  }

 private:
  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
  std::mt19937 random_;
};

Ranges matches(const split::FindAll find, std::string_view text) {
  Ranges all;
  find(text, [&](size_t begin, size_t end) { all.emplace_back(begin, end); });
  return all;
}

// A group around the expression makes it one that no scanner is known for.
Pattern engine_of(const std::string& expression) {
  const Json json = {{"pattern", Json{{"Regex", "(?:" + expression + ")"}}}};
  Fields fields(json, "t", "t");
  return Pattern::read(fields, "pattern");
}

TEST(SplitScanner, MatchWhatTheExpressionsMatch) {
  for (const auto& [name, expression] : kPatterns) {
    const split::FindAll find = split::find_scanner(expression);
    ASSERT_NE(find, nullptr) << name;
    const Pattern engine = engine_of(expression);
    RandomText random(1);
    for (int i = 0; i < 20000; ++i) {
      const std::string text = random.next();
      Ranges expected;
      engine.find(text, [&](size_t begin, size_t end) { expected.emplace_back(begin, end); });
      ASSERT_EQ(matches(find, text), expected) << name << ": " << testing::PrintToString(text);
    }
  }
}

// DeepSeek's three splits in one pass cut where they cut one after the other.
TEST(SplitScanner, DeepSeekInOnePass) {
  const Pattern numbers = engine_of(R"(\p{N}{1,3})"), chinese = engine_of("[一-龥぀-ゟ゠-ヿ]+");
  const Pattern words = engine_of(kPatterns[6].second);
  const auto cut = [](const Pattern& pattern, const std::vector<std::string_view>& pieces) {
    std::vector<std::string_view> result;
    for (const std::string_view piece : pieces) {
      size_t open = 0;
      pattern.find(piece, [&](size_t begin, size_t end) {
        if (open < begin) result.push_back(piece.substr(open, begin - open));
        result.push_back(piece.substr(begin, end - begin));
        open = end;
      });
      if (open < piece.size()) result.push_back(piece.substr(open));
    }
    return result;
  };
  const split::DeepSeekScanner scanner;
  RandomText random(2);
  for (int i = 0; i < 20000; ++i) {
    const std::string text = random.next();
    const auto expected = cut(words, cut(chinese, cut(numbers, {text})));
    std::vector<std::string_view> got;
    for (const char *p = text.data(), *end = p + text.size(); p < end;) {
      bool gap = false;
      const char* const after = scanner.next(p, end, &gap);
      got.emplace_back(p, static_cast<size_t>(after - p));
      p = after;
    }
    ASSERT_EQ(got, expected) << testing::PrintToString(text);
  }
}

TEST(SplitScanner, SeesCharactersThatPcreDoesNotKnowYet) {
  // U+10D4A (Garay, Unicode 16) is a letter; U+180E is no white space.
  const split::FindAll find = split::find_scanner(kPatterns[0].second);
  EXPECT_EQ(matches(find, "a\U00010d4a b"), (Ranges{{0, 5}, {5, 7}}));
  EXPECT_EQ(matches(find, "a\u180e b"), (Ranges{{0, 1}, {1, 4}, {4, 6}}));
}

}  // namespace
}  // namespace mica
