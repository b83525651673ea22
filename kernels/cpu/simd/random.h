#pragma once
// Philox words by the vector.

#include <cstdint>

namespace mica::cpu::simd {

/// u[4 * i + lane] = uniform_from_word of that lane of block first_block + i, for i < blocks (see kernels/random.h).
void uniform_blocks(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, float* u);

/// y[i] = u[i] >= threshold ? x[i] * scale : 0; y may be x.
void drop(const float* u, float threshold, float scale, const float* x, float* y, int64_t count);

}  // namespace mica::cpu::simd
