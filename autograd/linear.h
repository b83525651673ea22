#pragma once
// Products with weights, differentiable.

#include "mica/tensor/tensor.h"

namespace mica {

/// y[..., out] = x[..., in] · weight[out, in]ᵀ + bias[out]. bias may be undefined.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

/// c = op(a) · op(b) over the last two dimensions; the leading ones must agree. op transposes when asked for.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

}  // namespace mica
