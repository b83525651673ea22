#pragma once
// Convolutions over the tokens of each text of a ragged batch, differentiable.

#include <cstdint>

#include "mica/autograd/attention.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// y[r, o] = bias[o] + sum over i, k of weight[o, i, k] x[r + k - before, g part + i], for the group g that o lies in:
/// a row sees its text's rows from `before` ahead of it on, and zeros beyond the text's ends. x [rows, channels];
/// weight [out, part, kernel_size] as published checkpoints hold it, part = channels / groups; bias [out] or undefined;
/// y [rows, out]. With part = 1 and out = channels every channel has a filter of its own, and goes through a kernel of
/// its own; else the products are linear()'s, `factors` as there. Throws Error for other shapes, and for texts that do
/// not own each row once.
Tensor convolution(const Tensor& x, const SequenceOffsets& texts, const Tensor& weight, const Tensor& bias,
                   int64_t before, DType factors = DType::float32);

}  // namespace mica
