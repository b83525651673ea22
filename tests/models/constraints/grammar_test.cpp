// Grammars in GBNF, and what every constraint does.

#include "mica/models/generation/constraints/grammar.h"

#include <memory>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/models/generation/constraints/constraints.h"
#include "mica/tests/models/constraints/recogniser.h"
#include "mica/tests/models/constraints/support.h"

namespace mica::test {
namespace {

bool accepts(const std::string& grammar, const std::string& text) {
  return Recogniser(constraint_detail::parse_grammar(grammar)).read(text).whole;
}

// Through the automata, byte by byte.
bool follows(const std::string& grammar, const std::string& text) {
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) bytes.emplace_back(1, static_cast<char>(b));
  bytes.emplace_back();
  const auto constraint = grammar_constraint(ConstraintVocabulary(bytes, {256}), grammar);
  try {
    for (const char c : text) constraint->advance(static_cast<unsigned char>(c));
    constraint->advance(256);
  } catch (const Error&) {
    return false;
  }
  return true;
}

TEST(ConstraintGrammar, ReadsGbnf) {
  const std::string grammar = R"gbnf(
# a list of things
root   ::= item ("," ws item)*
ws     ::= " "?
item   ::= word | number |
           ("(" root
           ")")           # over several lines
         | "{" [^}]+ "}"
word   ::= [a-zA-Z_\-]+ '!'? | "\"" [^"\\]* "\"" | "\x41\u00e9\U0001F600" "]"
number ::= [0-9]{1,3} ("." [0-9]{2} | "e" [0-9]{3,})?
)gbnf";
  for (const char* text : {"a", "a,b", "a, b!,(1,2.50, (x))", "\"any thing\"", "A\xc3\xa9\xf0\x9f\x98\x80]", "12e0000",
                           "x-y_z", "{x,y}"}) {
    EXPECT_TRUE(accepts(grammar, text)) << text;
    EXPECT_TRUE(follows(grammar, text)) << text;
  }
  for (const char* text : {"", "a,,b", "a,  b", "1234", "1.5", "(a", "\"a\"b\"", "12e00", "a!!", "{}"}) {
    EXPECT_FALSE(accepts(grammar, text)) << text;
    EXPECT_FALSE(follows(grammar, text)) << text;
  }
}

TEST(ConstraintGrammar, FollowsCallsAnyDepthDown) {
  const std::string nested = "root ::= \"[\" (root (\",\" root)*)? \"]\"";
  const std::string deep(5000, '['), close(5000, ']');
  EXPECT_TRUE(follows(nested, deep + close));
  EXPECT_FALSE(follows(nested, deep + close + "]"));
  const std::string palindromes = "root ::= \"a\" root \"a\" | \"b\" root \"b\" | \"\"";
  EXPECT_TRUE(follows(palindromes, "abbaabba"));
  EXPECT_FALSE(follows(palindromes, "abbaab"));
  // Every split of the text is a reading: their number grows with the cube of its length, what is kept must not.
  const std::string ambiguous = "root ::= \"a\" root root | \"a\" | x\nx ::= \"a\" root | \"a\"";
  EXPECT_TRUE(follows(ambiguous, std::string(300, 'a')));
}

TEST(ConstraintGrammar, ErrorsNameThePlace) {
  const auto problem = [](const std::string& grammar) -> std::string {
    try {
      grammar_constraint(ConstraintVocabulary({"a", ""}, {1}), grammar);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const auto names = [&](const std::string& grammar, const std::string& what) {
    EXPECT_NE(problem(grammar).find(what), std::string::npos) << grammar << ": " << problem(grammar);
  };
  names("x ::= \"a\"", "no rule root");
  names("root ::= a\n  | b\na ::= \"a\"", "rule b is missing, line 2, column 6");
  names("root ::= \"a\"\nroot ::= \"b\"", "defined twice, line 2");
  names("root ::= \"a\nb\"", "does not end, line 2");
  names("root ::= [a", "does not end");
  names("root ::= [b-a]", "ends before it begins");
  names("root ::= (\"a\"", "group does not end");
  names("root ::= \"a\"{2,1}", "malformed count");
  names("root ::= \"a\"**", "two repetitions");
  names("root ::= \"\\q\"", "malformed escape");
  names("root = \"a\"", "::= is missing, line 1, column 6");
  names("root ::= <think>", "tokens by name");
  names("root ::= \"a\" )", "line does not");
  names("root ::= root \"a\" | \"a\"", "rule root begins with itself");
  names("root ::= x\nx ::= \"b\"? y\ny ::= x \"a\" | \"a\"", "begins with itself");
  names("root ::= \"a\" root", "nothing fits");
  names("root ::= []", "nothing fits");
  names("root ::= \"a\" x\nx ::= \"b\" y\ny ::= \"c\" x", "nothing fits");
  names("\xff", "not UTF-8");
  EXPECT_EQ(problem("root ::= \"a\" x | \"a\"\nx ::= \"a\" x"), "");  // a part that leads nowhere is left out
}

TEST(ConstraintGrammar, AVocabularyThatCannotGoOnIsAnError) {
  const auto constraint = grammar_constraint(ConstraintVocabulary({"a", ""}, {1}), "root ::= \"ab\"");
  EXPECT_EQ(allowed_tokens(*constraint, 2), (std::vector<int64_t>{0}));
  constraint->advance(0);
  try {
    allowed_tokens(*constraint, 2);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("one of the bytes \"b\" must follow"), std::string::npos) << error.what();
  }
}

TEST(Constraints, EndTokensAndBitsBeyondTheVocabulary) {
  // Two tokens of one text, one without, a special one.
  const ConstraintVocabulary vocabulary({"a", "a", "ab", "", "b", "<end>", ""}, {5, 6});
  const auto constraint = regex_constraint(vocabulary, "a(b|ab)?");
  std::vector<uint64_t> bits(3, ~uint64_t{0});
  constraint->mask(bits);
  EXPECT_EQ(bits, (std::vector<uint64_t>{0b0000111, 0, 0}));
  EXPECT_FALSE(constraint->finished());
  EXPECT_THROW(constraint->advance(5), Error);
  EXPECT_THROW(constraint->advance(4), Error);
  EXPECT_THROW(constraint->advance(3), Error);
  EXPECT_THROW(constraint->advance(7), Error);
  EXPECT_THROW(constraint->advance(-1), Error);
  constraint->advance(1);
  EXPECT_EQ(allowed_tokens(*constraint, 7), (std::vector<int64_t>{0, 1, 2, 4, 5, 6}));
  const auto other = constraint->clone();
  constraint->advance(4);
  EXPECT_TRUE(constraint->finished());
  EXPECT_EQ(allowed_tokens(*constraint, 7), (std::vector<int64_t>{5, 6}));
  EXPECT_THROW(constraint->advance(0), Error);
  EXPECT_FALSE(other->finished());
  other->advance(6);
  EXPECT_TRUE(other->finished());
  EXPECT_EQ(allowed_tokens(*other, 7), (std::vector<int64_t>{5, 6}));
  EXPECT_THROW(other->advance(2), Error);
  other->advance(5);
  // A mask only takes tokens away.
  bits = {0b1000000};
  other->mask(bits);
  EXPECT_EQ(bits[0], 0b1000000u);

  EXPECT_THROW(ConstraintVocabulary({"a"}, {1}), Error);
  EXPECT_THROW(ConstraintVocabulary({std::string(5000, 'a')}, {}), Error);
}

TEST(Constraints, WithoutEndTokensTheTextEndsWhenNothingCanFollow) {
  const auto constraint = regex_constraint(ConstraintVocabulary({"a"}, {}), "a{2}");
  constraint->advance(0);
  EXPECT_FALSE(constraint->finished());
  constraint->advance(0);
  EXPECT_TRUE(constraint->finished());
  EXPECT_THROW(allowed_tokens(*constraint, 1), Error);
}

}  // namespace
}  // namespace mica::test
