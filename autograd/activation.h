#pragma once
// Pointwise non-linearities, differentiable.

#include "mica/kernels/activation.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// y = activation(x); x itself for Activation::none.
Tensor activate(const Tensor& x, Activation activation);

/// y = activation(gate) * up in one pass. gate and up: [..., size] of one shape; slices of one wider product are read
/// where they lie. y is contiguous. Throws Error when the shapes or dtypes differ.
Tensor activate_and_multiply(const Tensor& gate, const Tensor& up, Activation activation);

/// The same with both factors in one tensor [..., 2 size], the gate first; its gradient is made in one piece.
Tensor activate_and_multiply(const Tensor& gate_up, Activation activation);

/// y = (u + 1) g sigmoid(alpha g) with g = min(gate, limit) and u = min(max(up, -limit), limit). gate and up: [...,
/// size] of one shape; [rows, size] is read where it lies, whatever its strides. y is contiguous. Throws Error when the
/// shapes or dtypes differ, or the limit is not positive.
Tensor clamped_swiglu(const Tensor& gate, const Tensor& up, double limit, double alpha);

/// The same with both in one tensor [..., 2 size], the gate in the even columns; its gradient is made in one piece.
Tensor clamped_swiglu(const Tensor& gate_up, double limit, double alpha);

/// y = cap tanh(x / cap): x held within (-cap, cap), smoothly. Throws Error when cap is not positive.
Tensor softcap(const Tensor& x, double cap);

}  // namespace mica
