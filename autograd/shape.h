#pragma once
// Moving elements, differentiable: the views of Tensor for tensors whose gradient is tracked, and joining.

#include <vector>

#include "mica/tensor/tensor.h"

namespace mica {

Tensor reshape(const Tensor& x, const Shape& shape);
Tensor transpose(const Tensor& x, int dim0, int dim1);
Tensor slice(const Tensor& x, int dim, int64_t begin, int64_t end);
/// The slice at `index`, without that dimension.
Tensor select(const Tensor& x, int dim, int64_t index);
/// Repeats dimensions of size 1 without a copy; leading dimensions may be added.
Tensor expand(const Tensor& x, const Shape& shape);
/// The tensors behind one another along a dimension; all other sizes, dtype and device must agree (Error if not).
Tensor cat(const std::vector<Tensor>& parts, int dim);
/// Consecutive slices of the given sizes, which must add up to the dimension's (Error if not): views, whose gradients
/// are joined in one pass.
std::vector<Tensor> split(const Tensor& x, const std::vector<int64_t>& sizes, int dim);
/// Conversion of the dtype; the gradient is converted back.
Tensor cast(const Tensor& x, DType dtype);
/// [rows, heads * head_size] to [rows, heads, head_size] without a copy, also of a slice of wider rows.
Tensor split_heads(const Tensor& x, const Shape& by_head);
/// y[i, ...] = x[index[i], ...]: rows of the first dimension by int64 index.
Tensor index_select(const Tensor& x, const Tensor& index);
/// y[index[i], ...] = the sum of all such source[i, ...], in the order of i; zero where there's none. y has `rows`
/// rows; index: int64 [source rows], each in [0, rows) (Error if not).
Tensor index_add(int64_t rows, const Tensor& index, const Tensor& source);
/// y[i, j] = x[i, index[i, j]] for x [rows, size] and index int64 [rows, k], each in [0, size) (Error if not).
Tensor gather(const Tensor& x, const Tensor& index);

}  // namespace mica
