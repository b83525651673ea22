#include "mica/models/generation/constraints/constraints.h"

#include <utility>

#include "mica/models/generation/constraints/automata.h"
#include "mica/models/generation/constraints/grammar.h"
#include "mica/models/generation/constraints/json_schema.h"
#include "mica/models/generation/constraints/matcher.h"
#include "mica/models/generation/constraints/regex.h"
#include "mica/models/generation/constraints/token_masks.h"
#include "mica/models/generation/constraints/vocabulary.h"

namespace mica {
namespace {

std::unique_ptr<TokenConstraint> compile(const ConstraintVocabulary& vocabulary, const constraint_detail::Rules& rules,
                                         const ConstraintOptions& options) {
  auto masks = std::make_shared<constraint_detail::TokenMasks>(
      vocabulary.impl().trie, constraint_detail::build_automata(rules, options.max_states));
  return std::make_unique<constraint_detail::Matcher>(std::move(masks));
}

}  // namespace

std::unique_ptr<TokenConstraint> regex_constraint(const ConstraintVocabulary& vocabulary, std::string_view expression,
                                                  const ConstraintOptions& options) {
  return compile(vocabulary, {{"root", constraint_detail::parse_regex(expression)}}, options);
}

std::unique_ptr<TokenConstraint> grammar_constraint(const ConstraintVocabulary& vocabulary, std::string_view grammar,
                                                    const ConstraintOptions& options) {
  return compile(vocabulary, constraint_detail::parse_grammar(grammar), options);
}

std::unique_ptr<TokenConstraint> json_schema_constraint(const ConstraintVocabulary& vocabulary, std::string_view schema,
                                                        const ConstraintOptions& options) {
  return compile(vocabulary, constraint_detail::json_schema_rules(schema, options.max_states), options);
}

std::unique_ptr<TokenConstraint> json_object_constraint(const ConstraintVocabulary& vocabulary,
                                                        const ConstraintOptions& options) {
  return json_schema_constraint(vocabulary, R"({"type": "object"})", options);
}

}  // namespace mica
