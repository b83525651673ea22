#include "mica/autograd/reduce.h"

#include "mica/autograd/elementwise.h"
#include "mica/autograd/shape.h"
#include "mica/autograd/tape.h"
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
