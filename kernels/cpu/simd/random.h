#pragma once
// Philox words by the vector.

#include <cstdint>

#include "mica/kernels/random.h"

namespace mica::cpu::simd {

/// u[4 * i + lane] = uniform_from_word of that lane of block first_block + i, for i < blocks (see kernels/random.h).
void uniform_blocks(uint64_t seed, uint64_t stream, uint64_t first_block, int64_t blocks, float* u);

/// y[i] = x[i] / (1 - p) where the element is kept, else 0, and then + residual[i] unless null; x and y are the
/// elements [first, first + count) of what is dropped. y may be x or the residual.
void drop_elements(const Dropout& dropout, uint64_t first, const float* x, const float* residual, float* y,
                   int64_t count);

}  // namespace mica::cpu::simd
