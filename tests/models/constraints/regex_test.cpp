// Regular expressions: what they make matches, and what they know and refuse.

#include "mica/models/generation/constraints/regex.h"

#include <memory>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/models/generation/constraints/automata.h"
#include "mica/tests/models/constraints/pcre.h"
#include "mica/tests/models/constraints/support.h"

namespace mica::test {
namespace {

constexpr const char* kExpressions[] = {
    R"([A-Z][a-z]{2,8}( [A-Z][a-z]+){0,2})",
    R"((\d{3}-){2}\d{4})",
    R"(\w+@\w+\.(com|org|net))",
    R"((yes|no|maybe so)[.!]?)",
    R"([^\d\s]{3,5}\d*?x+?)",
    R"(#([0-9a-fA-F]{3}){1,2})",
    R"("([^"\\\n]|\\["\\n])*")",
    R"((a|ab)(c|bcd)(d*))",
    R"(\x41\x{42}\t?\.\*\[\]\{\}[\]\-^a\\])",
    R"((((a{1,3}b?){2,3}|c)*d){1,2})",
    R"([а-яё]+ [日本語]{1,3}\S.)",
    R"((?<year>[12]\d{3})(?:-(?P<month>0[1-9]|1[0-2]))?)",
    R"(|a|bb)",
    R"(-?(0|[1-9]\d{0,5})(\.\d{1,3})?([eE][+-]?\d{1,2})?)",
    R"([\w.-]+[^a-z]{2}\W\D)",
};

TEST(ConstraintRegex, TextsMatchAsPcre2Does) {
  const auto& tokens = published_tokens("qwen2.5");
  std::mt19937 random(3);
  for (const std::string expression : kExpressions) {
    const Pcre pcre(expression, {.utf = true, .whole = true});
    const auto fresh = regex_constraint(published_vocabulary("qwen2.5"), expression);
    for (int i = 0; i < 20; ++i) {
      const auto constraint = fresh->clone();
      const Made made = random_text(*constraint, tokens, random, 400);
      if (!made.ended) continue;
      EXPECT_TRUE(pcre.finds(made.text)) << expression << ": \"" << made.text << "\"";
    }
  }
}

// Byte by byte over ASCII, where PCRE2 says whether a beginning can still become a match.
TEST(ConstraintRegex, MasksAreWhatPcre2sPartialMatchesGive) {
  std::vector<std::string> bytes;
  for (int b = 0; b < 128; ++b) bytes.emplace_back(1, static_cast<char>(b));
  bytes.emplace_back();
  const ConstraintVocabulary vocabulary(bytes, {128});
  std::mt19937 random(5);
  for (const std::string expression : kExpressions) {
    if (expression.find("日") != expression.npos) continue;
    const Pcre pcre(expression, {.whole = true});
    const auto fresh = regex_constraint(vocabulary, expression);
    for (int i = 0; i < 20; ++i) {
      const auto constraint = fresh->clone();
      std::string text;
      for (int step = 0; step < 25 && !constraint->finished(); ++step) {
        const auto allowed = allowed_tokens(*constraint, 129);
        std::vector<int64_t> expected;
        for (int64_t b = 0; b < 128; ++b) {
          if (pcre.may_begin(text + static_cast<char>(b))) expected.push_back(b);
        }
        if (pcre.finds(text)) expected.push_back(128);
        ASSERT_EQ(allowed, expected) << expression << " after \"" << text << "\"";
        const int64_t token = allowed[random() % allowed.size()];
        constraint->advance(token);
        if (token < 128) text += static_cast<char>(token);
      }
    }
  }
}

TEST(ConstraintRegex, AcceptsExactlyWhatPcre2Accepts) {
  std::mt19937 random(9);
  for (const std::string expression : kExpressions) {
    const Pcre pcre(expression, {.utf = true, .whole = true});
    const auto dfa = constraint_detail::build_dfa(constraint_detail::parse_regex(expression), 10'000);
    const auto pieces = small_vocabulary(300, 2);
    for (int i = 0; i < 2000; ++i) {
      std::string text;
      for (size_t n = random() % 6; n > 0; --n) {
        const std::string& piece = pieces[random() % pieces.size()];
        if (piece.size() != 1 || static_cast<unsigned char>(piece[0]) < 0x80) text += piece;
      }
      EXPECT_EQ(dfa.accepts(text), pcre.finds(text)) << expression << ": " << text;  // PCRE2 refuses what is no UTF-8
    }
  }
}

TEST(ConstraintRegex, AnchorsAroundTheWholeChangeNothing) {
  const auto accepts = [](const std::string& expression, const std::string& text) {
    return constraint_detail::build_dfa(constraint_detail::parse_regex(expression), 1000).accepts(text);
  };
  EXPECT_TRUE(accepts("^ab$|^c", "ab"));
  EXPECT_TRUE(accepts("^ab$|^c", "c"));
  EXPECT_FALSE(accepts("^ab$|^c", "abc"));
  EXPECT_FALSE(accepts("ab", "xab"));
}

TEST(ConstraintRegex, RefusesWhatItDoesNotKnow) {
  const auto problem = [](const std::string& expression) -> std::string {
    try {
      constraint_detail::parse_regex(expression);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  for (const char* expression :
       {"a(?=b)", "(?!a)b", "(?<=a)b", "(?<!a)b", "(a)\\1",  "\\bword", "(?i)a",   "a*+",   "a++",
        "a?+",    "a**",    "a{2}{3}", "(a",      "a)",      "[a",      "[]a]",    "[b-a]", "[[:alpha:]]",
        "\\p{L}", "\\k<n>", "a{3,1}",  "a{,3}",   "a{x}",    "{",       "}",       "*a",    "a^b",
        "a$b",    "(^a)",   "\\",      "\\x4",    "\\uD800", "[a-\\d]", "(*FAIL)", "\\Q",   "\xff"}) {
    EXPECT_NE(problem(expression), "") << expression;
  }
  EXPECT_NE(problem("ab(?=c)").find("byte 4 of \"ab(?=c)\""), std::string::npos) << problem("ab(?=c)");
  EXPECT_NE(problem(std::string(500, '(') + std::string(500, ')')).find("too deeply"), std::string::npos);
}

TEST(ConstraintRegex, SizesAreBounded) {
  const ConstraintVocabulary vocabulary({"a", "b", ""}, {2});
  EXPECT_THROW(regex_constraint(vocabulary, "(a|b)*a(a|b){30}"), Error);
  EXPECT_THROW(regex_constraint(vocabulary, "((((a{1000}){1000}){1000}){1000}){1000}"), Error);
  EXPECT_THROW(regex_constraint(vocabulary, "a{0,1000}", {.max_states = 500}), Error);
  EXPECT_NO_THROW(regex_constraint(vocabulary, "(((){1000000000}){1000000000}|a{0,1000})"));
}

}  // namespace
}  // namespace mica::test
