#pragma once
// Pointwise non-linearities, differentiable.

#include "mica/kernels/activation.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// y = activation(x); x itself for Activation::none.
Tensor activate(const Tensor& x, Activation activation);

}  // namespace mica
