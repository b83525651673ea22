#pragma once
// Regular expressions, read into expressions.

#include <functional>
#include <string>
#include <string_view>

#include "mica/models/generation/constraints/expression.h"

namespace mica::constraint_detail {

struct RegexOptions {
  /// What a set of characters becomes; null: itself. (JSON strings spell some characters by escapes.)
  std::function<ExpressionPtr(const CodePointSet&)> spell = {};
  /// As the "pattern" of a JSON schema: it may match anywhere in the text, unless ^ and $ hold it to the ends.
  /// Validators read \d, \w, \s and the dot differently; each is taken as what all of them agree on.
  bool is_pattern = false;
  std::string where = "regular expression";  // for errors
};

/// Throws Error for what is malformed and for syntax that this version does not know, naming the place.
ExpressionPtr parse_regex(std::string_view text, const RegexOptions& options = {});

}  // namespace mica::constraint_detail
