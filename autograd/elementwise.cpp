#include "mica/autograd/elementwise.h"

#include <string>

#include "mica/autograd/reduce.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/elementwise.h"

namespace mica {
namespace {

Tensor compute(BinaryOp op, const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || !(a.device() == b.device())) {
    throw Error("operands are " + std::string(name(a.dtype())) + " on " + to_string(a.device()) + " and " +
                    std::string(name(b.dtype())) + " on " + to_string(b.device()),
                "elementwise", "convert one with to(...)");
  }
  const Shape shape = broadcast(a.shape(), b.shape());
  const Tensor y = Tensor::empty(shape, a.dtype(), a.device());
  backend(a.device())
      .elementwise()
      .binary(op, a.detach().expand(shape).view(), b.detach().expand(shape).view(), y.view());
  return y;
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  Tensor y = compute(BinaryOp::add, a, b);
  if (wants_grad({&a, &b})) {
    record("add", {a, b}, {y}, [sa = a.shape(), sb = b.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      return {sum_to(g[0], sa), sum_to(g[0], sb)};
    });
  }
  return y;
}

Tensor subtract(const Tensor& a, const Tensor& b) {
  Tensor y = compute(BinaryOp::subtract, a, b);
  if (wants_grad({&a, &b})) {
    record("subtract", {a, b}, {y},
           [sa = a.shape(), sb = b.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             return {sum_to(g[0], sa), sum_to(affine(g[0], -1), sb)};
           });
  }
  return y;
}

Tensor multiply(const Tensor& a, const Tensor& b) {
  Tensor y = compute(BinaryOp::multiply, a, b);
  if (wants_grad({&a, &b})) {
    record("multiply", {a, b}, {y},
           [a = a.detach(), b = b.detach()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             return {sum_to(multiply(g[0], b), a.shape()), sum_to(multiply(g[0], a), b.shape())};
           });
  }
  return y;
}

Tensor divide(const Tensor& a, const Tensor& b) {
  Tensor y = compute(BinaryOp::divide, a, b);
  if (wants_grad({&a, &b})) {
    record("divide", {a, b}, {y},
           [y = y.detach(), sa = a.shape(), b = b.detach()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor da = divide(g[0], b);
             return {sum_to(da, sa), sum_to(affine(multiply(da, y), -1), b.shape())};
           });
  }
  return y;
}

Tensor affine(const Tensor& x, double scale, double shift) {
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  backend(x.device()).elementwise().affine(x.detach().contiguous().view(), scale, shift, y.view());
  if (wants_grad({&x})) {
    record("affine", {x}, {y},
           [scale](const std::vector<Tensor>& g) -> std::vector<Tensor> { return {affine(g[0], scale)}; });
  }
  return y;
}

Tensor clamp(const Tensor& x, double low, double high) {
  if (!(low <= high)) {
    throw Error("bounds " + std::to_string(low) + " and " + std::to_string(high), "clamp", "the first must be less");
  }
  const auto bound = [&](double value) { return Tensor::full({}, value, x.dtype(), x.device()); };
  const Tensor source = x.detach();
  Tensor y = compute(BinaryOp::minimum, compute(BinaryOp::maximum, source, bound(low)), bound(high));
  if (wants_grad({&x})) {
    record("clamp", {x}, {y}, [source, y = y.detach()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      ElementwiseKernels& kernels = backend(y.device()).elementwise();
      const Tensor inside = Tensor::empty(y.shape(), DType::boolean, y.device());
      kernels.compare(CompareOp::equal, source.view(), y.view(), inside.view());
      const Tensor zero = Tensor::zeros({}, y.dtype(), y.device()).expand(y.shape());
      const Tensor dx = Tensor::empty(y.shape(), y.dtype(), y.device());
      kernels.where(inside.view(), g[0].view(), zero.view(), dx.view());
      return {dx};
    });
  }
  return y;
}

}  // namespace mica
