#pragma once
// Rotary position embedding, differentiable.

#include "mica/kernels/rotary.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Turns the elements [offset, offset + 2 half) of each head by the angles of its row, and copies the others:
///   (y1, y2) = (cos x1 - sin x2, sin x1 + cos x2) for each pair of the layout.
/// x: [rows, heads, head_size], read where it lies if the last dimension is dense. cos, sin: [rows, half] of x's dtype,
/// constants (Error when their gradient is tracked); a factor in both of them scales what is turned. y is contiguous.
/// Throws Error when the shapes do not fit.
Tensor rotary(const Tensor& x, const Tensor& cos, const Tensor& sin, RotaryLayout layout, int64_t offset = 0);

}  // namespace mica
