#pragma once
// Scans along the rows of each text of a ragged batch, differentiable.

#include "mica/autograd/attention.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// The linear recurrence h[r] = a[r] h[r - 1] + b[r], element by element, along the rows of each text: what gated
/// recurrent layers and state space models come down to. a, b and h are [rows, channels] of one floating dtype; before
/// a text's first row stands initial [texts, channels], or zeros where it is undefined. Products of a over eight rows
/// should be finite, as they are wherever |a| is at most 1. Throws Error for other shapes and dtypes, and for texts
/// that do not own each row once.
Tensor linear_recurrence(const Tensor& a, const Tensor& b, const SequenceOffsets& texts, const Tensor& initial = {});

}  // namespace mica
