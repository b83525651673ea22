#pragma once
// Flags that hold texts to a rule: a JSON schema, a regular expression or a grammar.

#include <memory>
#include <optional>
#include <string>

#include "cli/arguments.h"

#include "mica/models/generation/constraint.h"
#include "mica/models/generation/generation_config.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica::cli {

class ConstraintFlags {
 public:
  void declare(Arguments& arguments);
  bool given() const { return json_schema_ || regex_ || grammar_; }
  /// Null where no flag was given. Texts may end with the end tokens of `settings`, else with the tokenizer's. Throws
  /// UsageError for two flags, Error for a rule that cannot be read or that no text fits.
  std::unique_ptr<TokenConstraint> constraint(const Tokenizer& tokenizer, const GenerationConfig& settings) const;

 private:
  std::optional<std::string> json_schema_, regex_, grammar_;
};

}  // namespace mica::cli
