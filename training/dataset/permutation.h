#pragma once
// Internal: random orders that depend on a seed alone.

#include <cstdint>
#include <vector>

namespace mica {

/// A number below `n`, drawn as word `index` of (seed, stream); the bias is below n / 2^64.
uint64_t draw_below(uint64_t n, uint64_t seed, uint64_t stream, uint64_t index);

/// 0 ... n-1 in a random order: Fisher and Yates' shuffle.
std::vector<int64_t> permutation(int64_t n, uint64_t seed, uint64_t stream);

}  // namespace mica
