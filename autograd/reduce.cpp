#include "mica/autograd/reduce.h"

#include "mica/autograd/elementwise.h"
#include "mica/autograd/shape.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/reduce.h"

namespace mica {
namespace {

Tensor softmax_of(const Tensor& x, bool log) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  backend(x.device()).reduce().softmax(x.detach().contiguous().view(), log, y.view());
  if (wants_grad({&x})) {
    record("softmax", {x}, {y}, [y = y.detach(), log](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Tensor dx = Tensor::empty(y.shape(), y.dtype(), y.device());
      backend(y.device()).reduce().softmax_backward(y.view(), g[0].contiguous().view(), log, dx.view());
      return {dx};
    });
  }
  return y;
}

}  // namespace

Tensor sum(const Tensor& x, int dim) {
  const int d = x.shape().index(dim);
  int64_t outer = 1;
  int64_t inner = 1;
  std::vector<int64_t> dims;
  for (int i = 0; i < x.rank(); ++i) {
    if (i < d) outer *= x.size(i);
    if (i > d) inner *= x.size(i);
    if (i != d) dims.push_back(x.size(i));
  }
  Tensor y = Tensor::empty({outer, inner}, x.dtype(), x.device());
  backend(x.device())
      .reduce()
      .reduce(ReduceOp::sum, x.detach().contiguous().reshape({outer, x.size(d), inner}).view(), y.view());
  y = y.reshape(Shape(dims));
  if (wants_grad({&x})) {
    record("sum", {x}, {y}, [shape = x.shape(), d](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      return {g[0].unsqueeze(d).expand(shape).contiguous()};
    });
  }
  return y;
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  if (!(broadcast(x.shape(), shape) == x.shape())) {
    throw Error("cannot sum " + to_string(x.shape()) + " to " + to_string(shape), "sum_to",
                "pass a shape that broadcasts to the first");
  }
  Tensor y = x.detach().contiguous();
  const int added = x.rank() - shape.rank();
  for (int dim = 0; dim < x.rank(); ++dim) {
    if (x.size(dim) == 1 || (dim >= added && shape[dim - added] != 1)) continue;
    int64_t outer = 1;
    int64_t inner = 1;
    for (int i = 0; i < dim; ++i) outer *= y.size(i);
    for (int i = dim + 1; i < y.rank(); ++i) inner *= y.size(i);
    const Tensor part = Tensor::empty({outer, inner}, x.dtype(), x.device());
    backend(x.device()).reduce().reduce(ReduceOp::sum, y.reshape({outer, y.size(dim), inner}).view(), part.view());
    Shape reduced = y.shape();
    reduced.set(dim, 1);
    y = part.reshape(reduced);
  }
  y = y.reshape(shape);
  if (wants_grad({&x})) {
    record("sum_to", {x}, {y}, [from = x.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      return {g[0].expand(from).contiguous()};
    });
  }
  return y;
}

Tensor sum(const Tensor& x) {
  return sum(reshape(x, Shape{x.numel()}), 0);
}
Tensor mean(const Tensor& x) {
  return affine(sum(x), 1.0 / static_cast<double>(x.numel()));
}
Tensor mean(const Tensor& x, int dim) {
  return affine(sum(x, dim), 1.0 / static_cast<double>(x.size(dim)));
}
Tensor softmax(const Tensor& x) {
  return softmax_of(x, false);
}
Tensor log_softmax(const Tensor& x) {
  return softmax_of(x, true);
}

}  // namespace mica
