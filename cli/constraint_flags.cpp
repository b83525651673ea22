#include "cli/constraint_flags.h"

#include "mica/base/file.h"
#include "mica/models/generation/constraints/constraints.h"

namespace mica::cli {

void ConstraintFlags::declare(Arguments& arguments) {
  arguments.text("--json-schema", json_schema_, "a file with a JSON schema: texts are values that it admits", "FILE");
  arguments.text("--regex", regex_, "texts match this regular expression as a whole", "REGEX");
  arguments.text("--grammar", grammar_, "a file with a grammar in GBNF: texts are of its rule root", "FILE");
}

std::unique_ptr<TokenConstraint> ConstraintFlags::constraint(const Tokenizer& tokenizer,
                                                             const GenerationConfig& settings) const {
  if (!given()) return nullptr;
  if (json_schema_.has_value() + regex_.has_value() + grammar_.has_value() > 1) {
    throw UsageError{"more than one rule", "--json-schema, --regex, --grammar", "give one of them"};
  }
  constexpr int64_t kMostBytes = 16 << 20;
  const ConstraintVocabulary vocabulary(tokenizer, settings.eos_token_id.values());
  if (json_schema_) return json_schema_constraint(vocabulary, read_file(*json_schema_, kMostBytes));
  if (grammar_) return grammar_constraint(vocabulary, read_file(*grammar_, kMostBytes));
  return regex_constraint(vocabulary, *regex_);
}

}  // namespace mica::cli
