#pragma once
// Reductions and softmax, differentiable.

#include "mica/tensor/tensor.h"

namespace mica {

/// Sum of all elements.
Tensor sum(const Tensor& x);
/// Sum over one dimension, which disappears.
Tensor sum(const Tensor& x, int dim);
/// Sums what broadcasting to x's shape would repeat: the result has `shape`, which must broadcast to that of x.
Tensor sum_to(const Tensor& x, const Shape& shape);
Tensor mean(const Tensor& x);
Tensor mean(const Tensor& x, int dim);
/// Over the last dimension.
Tensor softmax(const Tensor& x);
Tensor log_softmax(const Tensor& x);

}  // namespace mica
