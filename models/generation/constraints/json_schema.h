#pragma once
// JSON schemas as rules. docs/constraints.md says which keywords are known.

#include <cstdint>
#include <string_view>

#include "mica/models/generation/constraints/expression.h"

namespace mica::constraint_detail {

/// Rules whose texts are JSON values that the schema admits (not all of them: the order of properties is the schema's,
/// white space is bounded, and what the schema leaves open is left out). Throws Error for malformed JSON and, naming
/// the keyword and its JSON pointer, for what this version does not know.
Rules json_schema_rules(std::string_view schema, int64_t max_states);

}  // namespace mica::constraint_detail
