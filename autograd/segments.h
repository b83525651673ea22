#pragma once
// Reductions of each sequence's rows of a ragged batch, differentiable.

#include "mica/autograd/attention.h"
#include "mica/kernels/reduce.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// y[i, :] = the sum, mean or max of the rows of x [rows, size] that sequence i owns: [sequences, size]. A sequence
/// without rows gives zeros. Of the sum, each row is first multiplied by its element of `weights` (a constant, floating
/// [rows] like x; undefined: 1). The gradient of a maximum goes to the first row that has it. Throws Error for other
/// shapes, for a minimum, for weights of another reduction, and for sequences with gaps between them.
Tensor segment_reduce(ReduceOp op, const Tensor& x, const SequenceOffsets& offsets, const Tensor& weights = {});

}  // namespace mica
