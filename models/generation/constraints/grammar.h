#pragma once
// Grammars in GBNF, read into rules.

#include <string_view>

#include "mica/models/generation/constraints/expression.h"

namespace mica::constraint_detail {

/// Rule 0 is `root`. Throws Error for what is malformed, naming line and column.
Rules parse_grammar(std::string_view text);

}  // namespace mica::constraint_detail
