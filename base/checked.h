#pragma once
// 64-bit arithmetic that refuses to wrap: sizes that come from files pass through here before anything is allocated.

#include <cstdint>
#include <span>
#include <string>

#include "mica/base/error.h"

namespace mica {

/// a * b for non-negative sizes; throws, naming `where`, when the result does not fit.
inline int64_t checked_mul(int64_t a, int64_t b, const std::string& where) {
  int64_t product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) {
    throw Error("size overflows: " + std::to_string(a) + " x " + std::to_string(b), where, "use smaller dimensions");
  }
  return product;
}

/// a + b for non-negative sizes; throws, naming `where`, when the result does not fit.
inline int64_t checked_add(int64_t a, int64_t b, const std::string& where) {
  int64_t sum = 0;
  if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum)) {
    throw Error("size overflows: " + std::to_string(a) + " + " + std::to_string(b), where, "use smaller sizes");
  }
  return sum;
}

/// Product of all dimensions, each of which must be non-negative.
inline int64_t checked_product(std::span<const int64_t> dims, const std::string& where) {
  int64_t product = 1;
  for (const int64_t dim : dims) product = checked_mul(product, dim, where);
  return product;
}

}  // namespace mica
