#pragma once
// What the tests of constraints share: vocabularies, and texts made by choosing among the tokens that a mask allows.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "mica/base/json.h"
#include "mica/models/generation/constraints/constraints.h"

namespace mica::test {

/// A published byte-level vocabulary cut down for the tokenizer tests, by its folder there.
const ConstraintVocabulary& published_vocabulary(const std::string& name);
/// The texts of its tokens.
const std::vector<std::string>& published_tokens(const std::string& name);

/// All bytes, and `more` pieces of texts that constraints are about: parts of JSON, words, halves of characters. The
/// last token ends a text.
std::vector<std::string> small_vocabulary(size_t more, unsigned seed);

/// Bit by bit.
std::vector<int64_t> allowed_tokens(TokenConstraint& constraint, int64_t vocabulary);

struct Made {
  std::string text;
  bool ended = false;  // by an end token, or because nothing else could follow
  int64_t steps = 0;
};
/// Chooses uniformly among the allowed tokens until the text ends. After `patience` tokens it takes, where there are
/// such, tokens that close what is open.
Made random_text(TokenConstraint& constraint, const std::vector<std::string>& tokens, std::mt19937& random,
                 int64_t patience, int64_t most = 5000);

/// Whether the value fits, for the keywords that the tests use: written apart from the library, straight from the JSON
/// Schema specification. Says why not, or nothing.
std::string why_invalid(const Json& schema, const Json& value, const Json& root);

}  // namespace mica::test
