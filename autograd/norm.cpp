#include "mica/autograd/norm.h"

#include <string>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/norm.h"

namespace mica {
namespace {

void check(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias) {
  const auto fits = [&](const Tensor& parameter) {
    return !parameter.defined() || parameter.shape() == Shape{x.size(-1)};
  };
  if (x.rank() < 1 || !fits(weight) || !fits(bias) || (residual.defined() && !(residual.shape() == x.shape()))) {
    throw Error("x " + to_string(x.shape()) + (weight.defined() ? ", weight " + to_string(weight.shape()) : ""), "norm",
                "need x [..., size], residual of the same shape, weight and bias [size]");
  }
  check_devices("norm", {&x, &residual, &weight, &bias});
}

// weight_offset + weight in the dtype of x; ones without weight.
Tensor norm_factor(const Tensor& weight, double weight_offset, const Tensor& x) {
  if (!weight.defined()) return Tensor::ones({x.size(-1)}, x.dtype(), x.device());
  const Tensor w = weight.detach().to(x.dtype());
  return weight_offset == 0 ? w : affine(w, 1, weight_offset);
}

// x as the kernel of RMS norm takes it: [rows, size] or [rows, heads, size], the last dimension dense.
Tensor vectors_of(const Tensor& x) {
  const Tensor detached = x.detach();
  const bool dense = x.size(-1) == 1 || x.stride(-1) == 1;
  if ((x.rank() == 2 || x.rank() == 3) && dense) return detached;
  const int64_t size = x.size(-1);
  return detached.contiguous().reshape({size > 0 ? x.numel() / size : 0, size});
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, double weight_offset) {
  return add_layer_norm(x, {}, weight, bias, eps, weight_offset);
}

Tensor add_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias, double eps,
                      double weight_offset) {
  check(x, residual, weight, bias);
  const int64_t size = x.size(-1);
  const int64_t rows = size > 0 ? x.numel() / size : 0;
  const Tensor input = x.detach().contiguous().reshape({rows, size});
  const Tensor other = residual.defined() ? residual.detach().contiguous().reshape({rows, size}) : Tensor();
  const Tensor w = norm_factor(weight, weight_offset, x);
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
    record(
        "layer_norm", {x, residual, weight, bias}, {y},
        [=, shape = x.shape(), has_weight = weight.defined(), has_bias = bias.defined(),
         weight_type =
             weight.defined() ? weight.dtype() : x.dtype()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
          const Tensor dy = g[0].contiguous().reshape({rows, size});
          const Tensor ds = Tensor::empty({rows, size}, dy.dtype(), dy.device());
          const Tensor dweight = has_weight ? Tensor::empty({size}, dy.dtype(), dy.device()) : Tensor();
          const Tensor dbias = has_bias ? Tensor::empty({size}, dy.dtype(), dy.device()) : Tensor();
          backend(dy.device())
              .norm()
              .layer_norm_backward(dy.view(), sum.view(), mean.view(), rstd.view(), w.view(), ds.view(), dweight.view(),
                                   dbias.view());
          const Tensor dx = ds.reshape(shape);
          return {dx, dx, has_weight ? dweight.to(weight_type) : Tensor(), has_bias ? dbias.to(weight_type) : Tensor()};
        });
  }
  return y;
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps, double weight_offset) {
  check(x, {}, weight, {});
  const Tensor input = vectors_of(x);
  const Tensor w = weight.defined() ? weight.detach() : Tensor();
  const bool tracked = wants_grad({&x, &weight});
  const int64_t size = x.size(-1);
  const Tensor rstd = tracked ? Tensor::empty({size > 0 ? x.numel() / size : 0}, x.dtype(), x.device()) : Tensor();
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  backend(x.device())
      .norm()
      .rms_norm(input.view(), w.view(), weight_offset, eps, y.reshape(input.shape()).view(), rstd.view());
  if (tracked) {
    record(
        "rms_norm", {x, weight}, {y},
        [=, shape = x.shape(), wanted = weight.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
          const Tensor dy = g[0].contiguous();
          const Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
          const Tensor dweight = wanted ? Tensor::empty({size}, dy.dtype(), dy.device()) : Tensor();
          backend(dy.device())
              .norm()
              .rms_norm_backward(dy.view(), input.view(), rstd.view(), w.view(), weight_offset, dx.view(),
                                 dweight.view());
          return {dx, wanted ? dweight.to(w.dtype()) : Tensor()};
        });
  }
  return y;
}

}  // namespace mica
