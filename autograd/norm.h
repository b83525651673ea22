#pragma once
// Normalisation over the last dimension, differentiable.

#include "mica/tensor/tensor.h"

namespace mica {

/// y = (x - mean) * rstd * (weight_offset + weight) + bias. bias may be undefined, and so may weight: a factor of 1
/// then.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, double weight_offset = 0);

/// layer_norm(x + residual), in one pass over memory.
Tensor add_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias, double eps,
                      double weight_offset = 0);

struct NormedSum {
  Tensor sum, normed;
};
/// sum = dropout(x, p) + residual and normed = layer_norm(sum), forward and backward in one pass over memory each.
/// residual may be undefined. Throws Error unless 0 <= p < 1.
NormedSum dropout_add_layer_norm(const Tensor& x, const Tensor& residual, double p, const Tensor& weight,
                                 const Tensor& bias, double eps, double weight_offset = 0);

/// y = x * rstd * (weight_offset + weight) with rstd = 1 / sqrt(mean(x^2) + eps). x: [..., size]; one of [rows, size]
/// or [rows, heads, size] is read where it lies if its last dimension is dense, as a slice of a wider product is.
/// weight: [size], or undefined for a factor of 1; a weight_offset of 1 is for weights that are stored less 1. y is
/// contiguous. Throws Error when the shapes do not fit.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, double weight_offset = 0);

}  // namespace mica
