#pragma once
// Rows in 8 bits, for SIMD.

#include <cstdint>

namespace mica::cpu::simd {

/// y[i] = scale * q[i].
void dequantize(const int8_t* q, int64_t size, float scale, float* y);

}  // namespace mica::cpu::simd
