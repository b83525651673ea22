// Any text as a schema, an expression or a grammar (its first byte says which): an Error, or a constraint whose masks
// are what following each token's bytes gives, and which a text of allowed tokens never leaves.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mica/base/error.h"
#include "mica/models/generation/constraints/constraints.h"
#include "mica/tests/fuzz/fuzz.h"

namespace {

using mica::TokenConstraint;

const std::vector<std::string>& tokens() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> made;
    for (int byte = 0; byte < 256; ++byte) made.emplace_back(1, static_cast<char>(byte));
    for (const char* piece :
         {"{\"",   "\":",  "\", \"", "\"}",      "]}",       "}}",    "[]",   "ab", "aab", "12", "-1", ".5",
          "\\u00", "true", "null",   "\xe6\x97", "\x97\xa5", "\"a\"", "root", "((", "))",  ") ", " a", "\n"}) {
      made.emplace_back(piece);
    }
    made.emplace_back();
    return made;
  }();
  return all;
}

std::unique_ptr<TokenConstraint> compile(uint8_t kind, std::string_view text) {
  static const mica::ConstraintVocabulary vocabulary(tokens(), {static_cast<int64_t>(tokens().size()) - 1});
  const mica::ConstraintOptions small{.max_states = 2000};
  switch (kind) {
    case 'r':
      return mica::regex_constraint(vocabulary, text, small);
    case 'g':
      return mica::grammar_constraint(vocabulary, text, small);
    default:
      return mica::json_schema_constraint(vocabulary, text, small);
  }
}

bool follows(const TokenConstraint& constraint, size_t token) {
  try {
    constraint.clone()->advance(static_cast<int64_t>(token));
    return true;
  } catch (const mica::Error&) {
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  uint64_t random = size;
  std::vector<uint64_t> bits((tokens().size() + 63) / 64);
  try {
    const auto constraint = compile(data[0], mica::fuzz::text(data + 1, size - 1));
    for (int step = 0; step < 12 && !constraint->finished(); ++step) {
      bits.assign(bits.size(), ~uint64_t{0});
      constraint->mask(bits);
      std::vector<int64_t> allowed;
      for (size_t token = 0; token < tokens().size(); ++token) {
        const bool fits = (bits[token / 64] >> (token % 64) & 1) != 0;
        if (step % 4 == 1) mica::fuzz::require(fits == follows(*constraint, token), "the mask says what may follow");
        if (fits) allowed.push_back(static_cast<int64_t>(token));
      }
      // All bytes are tokens: something may always follow.
      mica::fuzz::require(!allowed.empty(), "a mask allows something");
      random = random * 6364136223846793005u + 1442695040888963407u;
      constraint->advance(allowed[(random >> 33) % allowed.size()]);
    }
  } catch (const mica::Error&) {
  }
  return 0;
}
