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

}  // namespace mica
