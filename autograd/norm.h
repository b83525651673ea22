#pragma once
// Normalisation over the last dimension, differentiable.

#include "mica/tensor/tensor.h"

namespace mica {

/// y = (x - mean) * rstd * weight + bias. bias may be undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps);

/// layer_norm(x + residual), in one pass over memory.
Tensor add_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias, double eps);

}  // namespace mica
