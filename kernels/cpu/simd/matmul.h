#pragma once
// Products of two matrices that come as they are, in float32.

#include "mica/kernels/cpu/simd/product.h"
#include "mica/kernels/linear.h"

namespace mica::cpu::simd {

/// As LinearKernels::matmul; bias [n], if given, is added, and the activation done to c.
void matmul(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& c, double alpha, double beta,
            const float* bias = nullptr, const TileActivation& activation = {});
/// A product with all but kernels and panels, and the weight [columns, depth] of float32, one of whose strides is 1.
void linear_in_parts(Product product, const View& weight);

}  // namespace mica::cpu::simd
