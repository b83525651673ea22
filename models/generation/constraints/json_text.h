#pragma once
// The pieces that JSON text is made of, as expressions.
//
// Between tokens stands at most one space, after a comma or a colon, and nothing else: a model that likes white space
// would otherwise write it without end. Numbers have at most 18 digits before the point, 17 behind it and two in the
// exponent, for the same reason and so that every reader can hold them.

#include <cstdint>
#include <string>
#include <string_view>

#include "mica/base/json.h"
#include "mica/models/generation/constraints/expression.h"

namespace mica::constraint_detail {

ExpressionPtr comma();
ExpressionPtr colon();

/// One character inside a string, spelled in any way that JSON has.
ExpressionPtr any_character();
/// The characters of the set, each spelled in one way: as it is where that is allowed, else by its shortest escape.
ExpressionPtr spell_in_string(const CodePointSet& set);
/// "min to max characters" in quotation marks; max -1: without end.
ExpressionPtr any_string(int64_t min, int64_t max);
ExpressionPtr in_quotes(ExpressionPtr content);
/// What spell_in_string spells: the text in quotation marks.
std::string json_string(std::string_view text);

/// This value, and no other.
ExpressionPtr json_literal(const Json& value);

/// The regular expression of a string format; null for one that is not known. (RFC 3339 for dates and times, RFC 4122
/// for uuid; e-mail addresses and host names without quoting and without international characters.)
const char* format_pattern(std::string_view format);
std::string known_formats();

}  // namespace mica::constraint_detail
