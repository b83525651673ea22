#pragma once
// Tensors that lie side by side in one memory, taken as one without a copy: parameters of layers with one input, and
// the gradients of one tensor's slices.

#include <vector>

#include "mica/tensor/tensor.h"

namespace mica {

/// A tensor of another shape that begins where `first` does, in the same memory, contiguous.
Tensor from_start_of(const Tensor& first, const Shape& shape);

/// Whether `next` begins `elements` behind the start of `before`, in the same memory, with the same dtype.
bool follows(const Tensor& before, int64_t elements, const Tensor& next);

/// The tensor of this shape whose slices along a dimension, of these sizes, are the parts: the memory they lie in where
/// they lie as in a contiguous one, else a copy. An undefined part counts as zeros; one at least is defined.
Tensor join_slices(const std::vector<Tensor>& parts, const std::vector<int64_t>& sizes, int dim, const Shape& shape);

}  // namespace mica
