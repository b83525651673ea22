// Masks against two plain readings: each token's bytes followed one by one, and each text read from its beginning.

#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/models/generation/constraints/automata.h"
#include "mica/models/generation/constraints/grammar.h"
#include "mica/models/generation/constraints/json_schema.h"
#include "mica/models/generation/constraints/matcher.h"
#include "mica/models/generation/constraints/regex.h"
#include "mica/models/generation/constraints/vocabulary.h"
#include "mica/tests/models/constraints/recogniser.h"
#include "mica/tests/models/constraints/support.h"

namespace mica::test {
namespace {

using constraint_detail::Rules;

constexpr int64_t kStates = 100'000;

// A sanitizer slows these tests down tenfold: they look at fewer states and tokens then.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kFew = true;
#else
constexpr bool kFew = false;
#endif

struct Case {
  std::string name;
  Rules rules;
};

Rules regex(const std::string& text) {
  return {{"root", constraint_detail::parse_regex(text)}};
}
Rules grammar(const std::string& text) {
  return constraint_detail::parse_grammar(text);
}
Rules schema(const std::string& text) {
  return constraint_detail::json_schema_rules(text, kStates);
}

std::vector<Case> cases() {
  return {
      {"words", regex("(?:[a-z]+ ?){1,20}")},
      {"ab", regex("(a|b)*abb(a|b){3}")},
      {"text", regex("[^\\n<]*")},
      {"unicode", regex("[а-я日本語é😀]{2,}|\\w+-\\d{2,4}")},
      {"nested", grammar("root ::= \"(\" root \")\" | \"[\" root* \"]\" | [0-9]+")},
      {"ends inside tokens",
       grammar("root ::= (word \" \"?)+ \"}\" \"]\"? \n word ::= [a-z\"]* x \n x ::= \"}\" | \"]\" x?")},
      {"arithmetic", grammar("root ::= sum \"\\n\"\nsum ::= product ([-+] product)*\nproduct ::= atom ([*/] atom)*\n"
                             "atom ::= [0-9]{1,5} | [a-z] | \"(\" sum \")\" # end")},
      {"ambiguous",
       grammar("root ::= \"a\" x \"b\" | \"a\" y \"a\" | \"c\"\nx ::= root | \"\" \ny ::= root | root root")},
      {"free text in a rule",
       grammar("root ::= \"answer: \" free (\"\\n\" | \"]\") root?\nfree ::= [^\\n\\x5d]* \nroot2 ::= free free")},
      {"bounded text in a called rule", grammar(R"x(root ::= "\"" free "zz]" free "\"" | "(" free* ")"
                  free ::= [^"\\\x00-\x1f]{0,14} | "[" root "]")x")},
      {"free text in a called rule", grammar(R"x(root ::= free "\"}" (free | "a" root)
                  free ::= [^"\\\x00-\x1f]* ("\"" free "\"")? | "a rule so long that it isn't put in place of its calls")x")},
      {"calls in text", grammar(R"x(root ::= "<" (plain | item)* ">"
                  plain ::= [^"\\\x00-\x1f]
                  item ::= "aba" | "[" item "]" | "\"]" item? "b")x")},
      {"a bounded rule before more text", grammar(R"x(root ::= ("(" free [a-z0-9 ]* ")" | "[" free "]")+
                  free ::= [^"\\\x00-\x1f]{0,2} | "\na part so long that the rule isn't put in place of its calls")x")},
      {"a call behind a character", grammar(R"x(root ::= "(" ([^"\\\x00-\x1f] item)* ")"
                  item ::= "a" | "b" item | "2"? item2
                  item2 ::= "[" item2 "]" | ": " item)x")},
      {"one character goes on", grammar(R"x(root ::= ("\"" ([^"\\\x00-\x1fa] | "a" [a-z0-9 ]*) "\"")+)x")},
      {"any object", schema(R"({"type": "object"})")},
      {"person", schema(R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 6},
                  "age": {"type": "integer", "minimum": -7, "maximum": 137}, "tags": {"type": "array", "items":
                  {"type": "string"}, "maxItems": 3}, "ok": {"type": ["boolean", "null"]}}, "required": ["age"],
                  "additionalProperties": {"type": "number", "exclusiveMinimum": 0.25}})")},
      {"tree", schema(R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"x":
                  {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "array", "items": {"$ref": "#/$defs/node"}}]}}}}})")},
      {"patterns", schema(R"({"type": "array", "items": {"type": "string", "pattern": "^[^a-z]*\"?$", "minLength": 2,
                  "maxLength": 5}, "minItems": 1})")},
  };
}

std::unique_ptr<constraint_detail::Matcher> matcher(const ConstraintVocabulary& vocabulary, const Rules& rules) {
  return std::make_unique<constraint_detail::Matcher>(std::make_shared<constraint_detail::TokenMasks>(
      vocabulary.impl().trie, constraint_detail::build_automata(rules, kStates)));
}

// Calls at_state(constraint, text) at states of random texts.
template <typename F>
void visit_states(const ConstraintVocabulary& vocabulary, const std::vector<std::string>& tokens, const Rules& rules,
                  int texts, size_t most_bytes, unsigned seed, const F& at_state) {
  std::mt19937 random(seed);
  const auto fresh = matcher(vocabulary, rules);
  for (int i = 0; i < texts; ++i) {
    const auto constraint = fresh->clone();
    std::string text;
    while (!constraint->finished() && text.size() < most_bytes) {
      at_state(*constraint, text);
      const auto allowed = allowed_tokens(*constraint, static_cast<int64_t>(tokens.size()));
      const int64_t token = allowed[random() % allowed.size()];
      constraint->advance(token);
      text += tokens[static_cast<size_t>(token)];
    }
  }
}

TEST(ConstraintMasks, AreWhatReadingEachTextFromItsBeginningGives) {
  const std::vector<std::string> tokens = small_vocabulary(kFew ? 300 : 700, 1);
  const auto end = static_cast<int64_t>(tokens.size()) - 1;
  const ConstraintVocabulary vocabulary(tokens, {end});
  for (const Case& c : cases()) {
    Recogniser recogniser(c.rules);
    int64_t states = 0, allowed_at_all = 0;
    visit_states(vocabulary, tokens, c.rules, kFew ? 1 : 6, kFew ? 10 : 20, 7,
                 [&](TokenConstraint& constraint, const std::string& text) {
                   std::vector<int64_t> expected;
                   for (int64_t token = 0; token < end; ++token) {
                     if (recogniser.read(text + tokens[static_cast<size_t>(token)]).begins) expected.push_back(token);
                   }
                   if (recogniser.read(text).whole) expected.push_back(end);
                   const auto allowed = allowed_tokens(constraint, end + 1);
                   EXPECT_EQ(allowed, expected) << c.name << " after \"" << text << "\"";
                   ++states;
                   allowed_at_all += static_cast<int64_t>(allowed.size());
                 });
    EXPECT_GT(states, kFew ? 1 : 6) << c.name;
    EXPECT_GT(allowed_at_all, states) << c.name;
  }
}

TEST(ConstraintMasks, AreWhatEachTokensBytesGiveOverPublishedVocabularies) {
  for (const std::string name : {"gpt2", "qwen2.5"}) {
    if (kFew && name != "gpt2") continue;
    const auto& tokens = published_tokens(name);
    for (const Case& c : cases()) {
      int64_t states = 0;
      visit_states(published_vocabulary(name), tokens, c.rules, kFew ? 1 : 2, kFew ? 30 : 60, 11,
                   [&](TokenConstraint& constraint, const std::string& text) {
                     if (states++ % 4 != 0) return;
                     std::vector<bool> allowed(tokens.size());
                     for (const int64_t token : allowed_tokens(constraint, static_cast<int64_t>(tokens.size()))) {
                       allowed[static_cast<size_t>(token)] = true;
                     }
                     // Not all: some tens of thousands, ten times a case.
                     for (size_t token = static_cast<size_t>(states) % 5; token < tokens.size();
                          token += kFew ? 101 : 5) {
                       if (tokens[token].empty()) continue;
                       bool fits = true;
                       try {
                         constraint.clone()->advance(static_cast<int64_t>(token));
                       } catch (const Error&) {
                         fits = false;
                       }
                       ASSERT_EQ(allowed[token], fits)
                           << name << ", " << c.name << " after \"" << text << "\": \"" << tokens[token] << "\"";
                     }
                   });
    }
  }
}

}  // namespace
}  // namespace mica::test
