#include "mica/autograd/norm.h"

#include <string>

#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/norm.h"

namespace mica {
namespace {

void check(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias) {
  if (x.rank() < 1 || !(weight.shape() == Shape{x.size(-1)}) || (bias.defined() && !(bias.shape() == weight.shape())) ||
      (residual.defined() && !(residual.shape() == x.shape()))) {
    throw Error("x " + to_string(x.shape()) + ", weight " + to_string(weight.shape()), "layer_norm",
                "need x [..., size], residual of the same shape, weight and bias [size]");
  }
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  return add_layer_norm(x, {}, weight, bias, eps);
}

Tensor add_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias, double eps) {
  check(x, residual, weight, bias);
  const int64_t size = x.size(-1);
  const int64_t rows = size > 0 ? x.numel() / size : 0;
  const Tensor input = x.detach().contiguous().reshape({rows, size});
  const Tensor other = residual.defined() ? residual.detach().contiguous().reshape({rows, size}) : Tensor();
  const Tensor w = weight.detach().to(x.dtype());
  const Tensor b = bias.defined() ? bias.detach().to(x.dtype()) : Tensor();
  const bool tracked = wants_grad({&x, &residual, &weight, &bias});
  Tensor sum;
  Tensor mean;
  Tensor rstd;
  if (tracked) {
    sum = residual.defined() ? Tensor::empty({rows, size}, x.dtype(), x.device()) : Tensor();
    mean = Tensor::empty({rows}, x.dtype(), x.device());
    rstd = Tensor::empty({rows}, x.dtype(), x.device());
  }
  Tensor y = Tensor::empty({rows, size}, x.dtype(), x.device());
  NormKernels& kernels = backend(x.device()).norm();
  kernels.layer_norm(input.view(), other.view(), w.view(), b.view(), eps, y.view(), sum.view(), mean.view(),
                     rstd.view());
  y = y.reshape(x.shape());
  if (tracked) {
    if (!sum.defined()) sum = input;
    record("layer_norm", {x, residual, weight, bias}, {y},
           [=, shape = x.shape(), weight_type = weight.dtype(),
            has_bias = bias.defined()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dy = g[0].contiguous().reshape({rows, size});
             const Tensor ds = Tensor::empty({rows, size}, dy.dtype(), dy.device());
             const Tensor dweight = Tensor::empty({size}, dy.dtype(), dy.device());
             const Tensor dbias = has_bias ? Tensor::empty({size}, dy.dtype(), dy.device()) : Tensor();
             backend(dy.device())
                 .norm()
                 .layer_norm_backward(dy.view(), sum.view(), mean.view(), rstd.view(), w.view(), ds.view(),
                                      dweight.view(), dbias.view());
             const Tensor dx = ds.reshape(shape);
             return {dx, dx, dweight.to(weight_type), has_bias ? dbias.to(weight_type) : Tensor()};
           });
  }
  return y;
}

}  // namespace mica
