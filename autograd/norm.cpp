#include "mica/autograd/norm.h"

#include <string>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/random.h"
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

// In the dtype of x, or of float32 beside rows of 16 bits.
Tensor parameter(const Tensor& own, const Tensor& x) {
  const bool stays = own.dtype() == DType::float32 && item_size(x.dtype()) == 2;
  return stays ? own.detach() : own.detach().to(x.dtype());
}

// weight_offset + weight, as a parameter; ones without weight.
Tensor norm_factor(const Tensor& weight, double weight_offset, const Tensor& x) {
  if (!weight.defined()) return Tensor::ones({x.size(-1)}, x.dtype(), x.device());
  const Tensor w = parameter(weight, x);
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

// layer_norm(dropout(x) + residual), and the sum where it is wanted: its gradient then joins the norm's.
NormedSum normed_sum(const Tensor& x, const Tensor& residual, double p, const Tensor& weight, const Tensor& bias,
                     double eps, double weight_offset, bool want_sum) {
  check(x, residual, weight, bias);
  const int64_t size = x.size(-1);
  const int64_t rows = size > 0 ? x.numel() / size : 0;
  const Tensor input = x.detach().contiguous().reshape({rows, size});
  const Tensor other = residual.defined() ? residual.detach().contiguous().reshape({rows, size}) : Tensor();
  const Tensor w = norm_factor(weight, weight_offset, x);
  const Tensor b = bias.defined() ? parameter(bias, x).to(w.dtype()) : Tensor();
  const bool tracked = wants_grad({&x, &residual, &weight, &bias});
  const Dropout dropout = next_dropout(p);
  const bool changed = dropout.p > 0 || residual.defined();
  const Tensor sum =
      changed && (tracked || want_sum || dropout.p > 0) ? Tensor::empty({rows, size}, x.dtype(), x.device()) : Tensor();
  const Tensor mean = tracked ? Tensor::empty({rows}, x.dtype(), x.device()) : Tensor();
  const Tensor rstd = tracked ? Tensor::empty({rows}, x.dtype(), x.device()) : Tensor();
  const Tensor y = Tensor::empty({rows, size}, x.dtype(), x.device());
  NormKernels& kernels = backend(x.device()).norm();
  kernels.layer_norm(input.view(), other.view(), w.view(), b.view(), eps, y.view(), sum.view(), mean.view(),
                     rstd.view(), dropout);
  const Tensor s = sum.defined() ? sum : input;
  NormedSum result{want_sum ? s.reshape(x.shape()) : Tensor(), y.reshape(x.shape())};
  if (!tracked) return result;
  record("layer_norm", {x, residual, weight, bias}, {result.normed, result.sum},
         [=, shape = x.shape(), has_weight = weight.requires_grad(), has_bias = bias.requires_grad(),
          need_x = x.requires_grad(), weight_type = weight.defined() ? weight.dtype() : x.dtype(),
          s = s.detach()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
           // Nothing but the sum was used.
           if (!g[0].defined()) {
             Tensor dx = g[1];
             if (dropout.p > 0 && need_x) {
               dx = Tensor::empty(shape, dx.dtype(), dx.device());
               backend(dx.device()).random().dropout(dropout, g[1].contiguous().view(), {}, dx.view());
             }
             return {dx, g[1]};
           }
           const Tensor dy = g[0].contiguous().reshape({rows, size});
           const Tensor dsum = g[1].defined() ? g[1].contiguous().reshape({rows, size}) : Tensor();
           const auto like = [&](bool wanted, const Shape& of) {
             return wanted ? Tensor::empty(of, dy.dtype(), dy.device()) : Tensor();
           };
           const Tensor ds = reuse_or_new(g[0]).reshape({rows, size});
           const Tensor dx = like(dropout.p > 0 && need_x, {rows, size});
           const Tensor dweight = has_weight ? Tensor::empty({size}, w.dtype(), dy.device()) : Tensor();
           const Tensor dbias = has_bias ? Tensor::empty({size}, w.dtype(), dy.device()) : Tensor();
           backend(dy.device())
               .norm()
               .layer_norm_backward(dy.view(), s.view(), mean.view(), rstd.view(), w.view(), dsum.view(), dropout,
                                    ds.view(), dx.view(), dweight.view(), dbias.view());
           const Tensor of_sum = ds.reshape(shape);
           return {dx.defined() ? dx.reshape(shape) : of_sum, of_sum, has_weight ? dweight.to(weight_type) : Tensor(),
                   has_bias ? dbias.to(weight_type) : Tensor()};
         });
  return result;
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, double weight_offset) {
  return add_layer_norm(x, {}, weight, bias, eps, weight_offset);
}

Tensor add_layer_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias, double eps,
                      double weight_offset) {
  return normed_sum(x, residual, 0, weight, bias, eps, weight_offset, false).normed;
}

NormedSum dropout_add_layer_norm(const Tensor& x, const Tensor& residual, double p, const Tensor& weight,
                                 const Tensor& bias, double eps, double weight_offset) {
  return normed_sum(x, residual, p, weight, bias, eps, weight_offset, true);
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
          const bool mixed = w.defined() && w.dtype() == DType::float32 && item_size(dy.dtype()) == 2;
          const Tensor dweight = wanted ? Tensor::empty({size}, mixed ? w.dtype() : dy.dtype(), dy.device()) : Tensor();
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
