#pragma once
// Truncation: which tokens of a text stay, and which windows over the rest overflow.

#include <cstdint>
#include <vector>

#include "mica/tokenizers/options.h"

namespace mica {

/// Tokens of a text: [begin, end). The first window is what stays.
struct Window {
  int64_t begin, end;
};

struct TruncationPlan {
  Truncation strategy = Truncation::none;
  int64_t max_length = 0;  ///< for the texts together, without special tokens
  int64_t stride = 0;
  Side side = Side::right;
};

/// The windows of `length` tokens when at most `keep` may stay. Throws Error unless stride < keep where it cuts.
std::vector<Window> make_windows(int64_t length, int64_t keep, int64_t stride, Side side);

/// How many tokens of the first and the second text stay; `second` is -1 when there is no pair. Throws Error when the
/// strategy cannot meet the length.
struct Lengths {
  int64_t first, second;
};
Lengths truncated_lengths(int64_t first, int64_t second, const TruncationPlan& plan);

}  // namespace mica
