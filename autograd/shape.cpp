#include "mica/autograd/shape.h"

#include "mica/autograd/embedding.h"
#include "mica/autograd/tape.h"

namespace mica {

Tensor reshape(const Tensor& x, const Shape& shape) {
  Tensor y = x.detach().reshape(shape);
  if (wants_grad({&x})) {
    record("reshape", {x}, {y}, [shape = x.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      return {g[0].contiguous().reshape(shape)};
    });
  }
  return y;
}

Tensor split_heads(const Tensor& x, const Shape& by_head) {
  Tensor y = x.detach().unflatten(1, by_head[1]);
  if (wants_grad({&x})) {
    record("split_heads", {x}, {y}, [shape = x.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      return {g[0].contiguous().reshape(shape)};
    });
  }
  return y;
}

Tensor transpose(const Tensor& x, int dim0, int dim1) {
  Tensor y = x.detach().transpose(dim0, dim1);
  if (wants_grad({&x})) {
    record("transpose", {x}, {y},
           [dim0, dim1](const std::vector<Tensor>& g) -> std::vector<Tensor> { return {g[0].transpose(dim0, dim1)}; });
  }
  return y;
}

Tensor slice(const Tensor& x, int dim, int64_t begin, int64_t end) {
  Tensor y = x.detach().slice(dim, begin, end);
  if (wants_grad({&x})) {
    record("slice", {x}, {y},
           [shape = x.shape(), dim, begin, end](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dx = Tensor::zeros(shape, g[0].dtype(), g[0].device());
             dx.slice(dim, begin, end).copy_(g[0]);
             return {dx};
           });
  }
  return y;
}

Tensor select(const Tensor& x, int dim, int64_t index) {
  const int64_t i = index < 0 ? index + x.size(dim) : index;
  const Tensor piece = slice(x, dim, i, i + 1);
  std::vector<int64_t> dims(piece.shape().begin(), piece.shape().end());
  dims.erase(dims.begin() + piece.shape().index(dim));
  return reshape(piece, Shape(dims));
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Tensor y = x.detach().to(dtype);
  if (wants_grad({&x})) {
    record("cast", {x}, {y},
           [from = x.dtype()](const std::vector<Tensor>& g) -> std::vector<Tensor> { return {g[0].to(from)}; });
  }
  return y;
}

Tensor index_select(const Tensor& x, const Tensor& index) {
  const int64_t rows = x.size(0);
  const Tensor table = reshape(x, Shape{rows, rows > 0 ? x.numel() / rows : 0});
  const Tensor picked = embedding(table, index);
  std::vector<int64_t> dims(x.shape().begin(), x.shape().end());
  dims[0] = index.numel();
  return reshape(picked, Shape(dims));
}

}  // namespace mica
