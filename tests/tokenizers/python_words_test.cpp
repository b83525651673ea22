// Rules that the reference keeps in Python: time in proportion to the text, where it is hostile as well, and places of
// the original.

#include <ctime>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tokenizers/basic_words.h"
#include "mica/tokenizers/moses_detokenizer.h"
#include "mica/tokenizers/moses_words.h"
#include "mica/tokenizers/tweet_normalizer.h"

namespace mica {
namespace {

std::vector<std::pair<std::string, CharSpan>> words(const PreTokenizer& pre_tokenizer, std::string_view text) {
  NormalizedText now;
  now.assign(text, 0);
  std::vector<ByteRange> pieces = {now.all()};
  pre_tokenizer.split(now, pieces);
  std::vector<std::pair<std::string, CharSpan>> found;
  for (const ByteRange piece : pieces) found.emplace_back(now.view(piece), now.original(piece));
  return found;
}

std::string times(std::string_view part, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += part;
  return text;
}

TEST(PythonWords, HostileTextsTakeTimeInProportion) {
  const MosesPreTokenizer english(moses::language("en", "test"),
                                  {.folds = true, .words = {.splits_dashes = true, .escapes = true}});
  const MosesPreTokenizer german(moses::language("de", "test"), {.lowers = true});
  const TweetNormalizer tweets;
  const BasicWords basic({});
  const auto decoder = make_moses_decoder(moses::language("en", "test"));
  const std::string_view parts[] = {
      ".",   ",",    "'",       "\"",       ".\"",    ",\"",     "« ", "a-",  "(",    ")",  "()",     "(a)",   "((a)b",
      "a.b", "a.b-", "http://", "http://(", "http:",  "www.",    "@",  "a@",  "a@b.", "#",  "#a'",    "#'",    "1 ",
      "1-",  "(1",   "&",       "&#",       "&a",     "Σ",       "Σ'", "DOT", "。 ",  "- ", "a'-",    "a'",    "x.co/@",
      "<a",  "<",    "<-",      ". ",       "\u0301", "e\u0301", "中", " ",   "\t",   "_'", "ab.cd/", "a.b.c@"};

  // Seconds of the processor for a text of so many bytes.
  const auto seconds = [&](std::string_view part, size_t bytes) {
    const std::string text = times(part, bytes);
    const std::clock_t start = std::clock();
    for (const PreTokenizer* one : std::initializer_list<const PreTokenizer*>{&english, &german, &tweets, &basic}) {
      words(*one, text);
      words(*one, text + "!");
    }
    std::vector<std::string> tokens = {text};
    decoder->decode(tokens);
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
#if defined(__SANITIZE_ADDRESS__)
  constexpr size_t kBytes = 2'500;  // where everything takes some ten times as long
#else
  constexpr size_t kBytes = 10'000;
#endif
  for (const std::string_view part : parts) {
    // Sixteen times the text: sixteen times as long, not two hundred and fifty-six times.
    const double few = seconds(part, kBytes), many = seconds(part, 16 * kBytes);
    EXPECT_LT(many, 60 * few + 0.5) << part;
  }
}

TEST(PythonWords, WordsKnowTheirPlaces) {
  using Words = std::vector<std::pair<std::string, CharSpan>>;
  const MosesPreTokenizer english(moses::language("en", "test"), {.words = {.escapes = true}});
  EXPECT_EQ(words(english, "“So…” Mr. X's."), (Words{{"&quot;", {0, 1}},
                                                     {"So", {1, 3}},
                                                     {"...", {3, 4}},
                                                     {"&quot;", {4, 5}},
                                                     {"Mr.", {6, 9}},
                                                     {"X", {10, 11}},
                                                     {"&apos;s", {11, 13}},
                                                     {".", {13, 14}}}));
  EXPECT_EQ(words(TweetNormalizer(), "hi @you &lt;3 http://t.co"), (Words{{"hi @USER <3 HTTPURL", {0, 25}}}));
  EXPECT_EQ(words(BasicWords({}), "É!中"), (Words{{"e", {0, 1}}, {"!", {1, 2}}, {"中", {2, 3}}}));
}

TEST(PythonWords, LanguagesWithoutRulesAreErrors) {
  EXPECT_THROW(moses::language("zh", "test"), Error);
  EXPECT_THROW(moses::language("", "test"), Error);
}

}  // namespace
}  // namespace mica
