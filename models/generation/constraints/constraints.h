#pragma once
// Constrained decoding: tokens that cannot go on a JSON value, a text of a regular expression or of a grammar are
// masked before one is chosen.
//
//   const ConstraintVocabulary vocabulary(tokenizer);
//   const auto constraint = json_schema_constraint(vocabulary, R"({"type": "object", "properties": ...})");
//
// A constraint is compiled once. Its clones start where it stands and share with it what has been learned about masks,
// so keep one unused and clone it for each text. Constraints that share may be used from different threads; one
// constraint may not.
//
// Everything works on bytes: a token may hold part of a character, and a mask says of each token whether its bytes can
// go on the text. Special tokens never can; an end token can where the text may end.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mica/models/generation/constraint.h"

namespace mica {

class Tokenizer;

/// The texts of a vocabulary's tokens, arranged to be masked. Made once for any number of constraints (a second for
/// 150,000 tokens); copies are cheap and share.
class ConstraintVocabulary {
 public:
  /// The tokens as tokenizer.token_bytes() has them. Without end tokens given, the tokenizer's own. Throws Error for an
  /// end token out of range, and when there is none.
  explicit ConstraintVocabulary(const Tokenizer& tokenizer, std::vector<int64_t> end_tokens = {});
  /// The bytes of each token, empty for those that are no text. Without end tokens a text ends only when finished()
  /// says so.
  ConstraintVocabulary(std::vector<std::string> token_bytes, std::vector<int64_t> end_tokens);

  int64_t size() const;    ///< tokens
  int64_t memory() const;  ///< bytes held

  struct Impl;
  const Impl& impl() const { return *impl_; }  ///< for those that make constraints

 private:
  std::shared_ptr<const Impl> impl_;
};

struct ConstraintOptions {
  /// States that a compiled constraint may have; each takes some 200 bytes. Beyond, compiling throws Error.
  int64_t max_states = 200'000;
};

/// Texts that the whole expression matches, ^ and $ around it or not. Knows literals, classes, ., \d \w \s and their
/// opposites (ASCII), |, groups, *, +, ?, {m}, {m,}, {m,n} and their lazy forms; \n \t \r \f \v \a \e \0, \xHH,
/// \x{H...}, \uHHHH, \u{H...}. A dot is any character but a line feed. Throws Error, naming the place, for anything
/// else: look-around, back-references, \b, flags, possessive forms, properties.
std::unique_ptr<TokenConstraint> regex_constraint(const ConstraintVocabulary& vocabulary, std::string_view expression,
                                                  const ConstraintOptions& options = {});

/// Texts of the grammar's rule `root`, written in GBNF as llama.cpp reads it:
///
///   root   ::= "answer: " (number | word) "\n"   # a comment
///   number ::= "-"? [0-9]{1,6}
///   word   ::= [^ \t\n]+
///
/// Literals may stand in single quotes as well, rule names may hold underscores. Throws Error, naming line and column,
/// for what is malformed, for rules that are missing or defined twice, for left recursion, and for a grammar that no
/// text fits.
std::unique_ptr<TokenConstraint> grammar_constraint(const ConstraintVocabulary& vocabulary, std::string_view grammar,
                                                    const ConstraintOptions& options = {});

/// JSON values that the schema admits: see docs/constraints.md for the keywords. Any other keyword is an Error that
/// names it and its JSON pointer; none is ignored in silence. `schema` is JSON text.
std::unique_ptr<TokenConstraint> json_schema_constraint(const ConstraintVocabulary& vocabulary, std::string_view schema,
                                                        const ConstraintOptions& options = {});

/// Any JSON object.
std::unique_ptr<TokenConstraint> json_object_constraint(const ConstraintVocabulary& vocabulary,
                                                        const ConstraintOptions& options = {});

}  // namespace mica
