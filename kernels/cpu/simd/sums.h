#pragma once
// Sums over the rows of a matrix of float32.

#include <cstdint>

namespace mica::cpu::simd {

/// y[i] = the sum of x[r * stride + i] over r < rows, for i < columns, on all threads. Rows are added in blocks of 64,
/// whose sums are added in their order.
void column_sums(const float* x, int64_t stride, int64_t rows, int64_t columns, float* y);

}  // namespace mica::cpu::simd
