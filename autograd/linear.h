#pragma once
// Products with weights, differentiable.

#include <vector>

#include "mica/kernels/activation.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// y[..., out] = x[..., in] · weight[out, in]ᵀ + bias[out]. bias may be undefined. `factors`: bfloat16 rounds what is
/// multiplied, here and in the gradients, where the device is faster so; sums, y and the gradients keep their dtype.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, DType factors = DType::float32);

struct LinearParameters {
  Tensor weight;  ///< [out, in]
  Tensor bias;    ///< [out], or undefined
};

/// linear() of one x with each layer's parameters; the gradient of x is summed while it is made. Parameters that lie
/// one behind the other in memory, weights and biases, are multiplied as one, and the results are slices of one tensor.
std::vector<Tensor> linears(const Tensor& x, const std::vector<LinearParameters>& layers,
                            DType factors = DType::float32);

/// A tensor and what an activation makes of it, for the layer behind the activation.
struct Activated {
  Tensor before;  ///< on the tape
  Tensor after;   ///< activation(before), not on the tape; undefined: made when it is needed
  Activation activation = Activation::none;
};

/// linear() with the activation of its result, made while that passes by.
Activated linear_and_activation(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation,
                                DType factors = DType::float32);

/// linear() of activation(x.before), of which x.before alone is kept: the backward pass applies the activation again.
/// The bits of both by themselves.
Tensor activated_linear(const Activated& x, const Tensor& weight, const Tensor& bias = {},
                        DType factors = DType::float32);

/// c = op(a) · op(b) over the last two dimensions; the leading ones must agree. op transposes when asked for.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

}  // namespace mica
