#pragma once
// General categories as the regular expressions of the reference tokenizers see them (Unicode 17). Ids depend on where
// texts are split, so they cannot come from a system library whose version changes.

#include <cstdint>
#include <span>

namespace mica::unicode::tables {

enum class Category : uint8_t { Lu, Ll, Lt, Lm, Lo, M, N, P, S };

/// first, first + step, ... last.
struct CategoryRun {
  uint32_t first, last;
  uint8_t step;
  Category category;
};

/// Characters in none of them are separators (Z) or others (C).
extern const std::span<const CategoryRun> categories;

}  // namespace mica::unicode::tables
