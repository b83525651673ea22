#pragma once
// Products of two matrices that come as they are, in float32.

#include "mica/kernels/linear.h"

namespace mica::cpu::simd {

/// As LinearKernels::matmul, and bias [n], if given, is added.
void matmul(const View& a, bool transpose_a, const View& b, bool transpose_b, const View& c, double alpha, double beta,
            const float* bias = nullptr);
/// As LinearKernels::forward, for x of float32; the weight of any floating dtype and strides.
void linear(const View& x, const View& weight, const Epilogue& epilogue, const View& y);

}  // namespace mica::cpu::simd
