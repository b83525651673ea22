#pragma once
// JSON numbers within bounds, as expressions over their digits.

#include <cstdint>
#include <optional>
#include <string>

#include "mica/base/json.h"
#include "mica/models/generation/constraints/expression.h"

namespace mica::constraint_detail {

/// An exact decimal number.
struct Decimal {
  bool negative = false;
  std::string whole = "0";  // without leading zeros
  std::string fraction;     // without trailing zeros

  static Decimal of(const Json& number);
  bool is_zero() const { return whole == "0" && fraction.empty(); }
  bool is_integer() const { return fraction.empty(); }
  /// -1, 0 or 1.
  int compare(const Decimal& other) const;
};

struct Bound {
  Decimal value;
  bool strict = false;  // the value itself is outside
};

struct NumberRange {
  std::optional<Bound> low, high;
  int64_t multiple_of = 1;  // of integers
  bool contains(const Decimal& value) const;
};

/// Integers of at most 18 digits in the range.
ExpressionPtr integers_in(const NumberRange& range, int64_t max_states);
/// Numbers in the range: of any form where it has no bounds, else without exponents. multiple_of must be 1.
ExpressionPtr numbers_in(const NumberRange& range, int64_t max_states);

}  // namespace mica::constraint_detail
