#include "mica/autograd/linear.h"

#include <string>

#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/linear.h"
#include "mica/kernels/reduce.h"

namespace mica {
namespace {

Tensor product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b) {
  std::vector<int64_t> dims(a.shape().begin(), a.shape().end());
  dims[dims.size() - 2] = a.size(transpose_a ? -1 : -2);
  dims[dims.size() - 1] = b.size(transpose_b ? -2 : -1);
  const Tensor c = Tensor::empty(Shape(dims), a.dtype(), a.device());
  backend(a.device()).linear().matmul(a.view(), transpose_a, b.view(), transpose_b, c.view(), 1.0, 0.0);
  return c;
}

// Sum over the rows of x[rows, size].
Tensor sum_rows(const Tensor& x) {
  const Tensor sum = Tensor::empty({x.size(1)}, x.dtype(), x.device());
  backend(x.device())
      .reduce()
      .reduce(ReduceOp::sum, x.reshape({1, x.size(0), x.size(1)}).view(), sum.reshape({1, x.size(1)}).view());
  return sum;
}

Shape with_last(const Shape& shape, int64_t last) {
  Shape result = shape;
  result.set(-1, last);
  return result;
}

void check(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (x.rank() < 1 || weight.rank() != 2 || x.size(-1) != weight.size(1) ||
      (bias.defined() && !(bias.shape() == Shape{weight.size(0)}))) {
    throw Error("x " + to_string(x.shape()) + ", weight " + to_string(weight.shape()) + ", bias " +
                    (bias.defined() ? to_string(bias.shape()) : "none"),
                "linear", "need x [..., in], weight [out, in], bias [out]");
  }
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check(x, weight, bias);
  const int64_t in = weight.size(1);
  const int64_t out = weight.size(0);
  const Tensor rows = x.detach().contiguous().reshape({in > 0 ? x.numel() / in : 0, in});
  const Tensor w = weight.stride(1) == 1 || in == 1 ? weight.detach() : weight.detach().contiguous();
  const Tensor y = Tensor::empty({rows.size(0), out}, x.dtype(), x.device());
  backend(x.device()).linear().forward(rows.view(), w.view(), {.bias = bias.view()}, y.view());
  Tensor result = y.reshape(with_last(x.shape(), out));
  if (wants_grad({&x, &weight, &bias})) {
    record("linear", {x, weight, bias}, {result},
           [rows, w, shape = x.shape(), need_x = x.requires_grad(), need_w = weight.requires_grad(),
            need_b = bias.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dy = g[0].contiguous().reshape({rows.size(0), w.size(0)});
             return {need_x ? product(dy, false, w.to(dy.dtype()), false).reshape(shape) : Tensor(),
                     need_w ? product(dy, true, rows, false).to(w.dtype()) : Tensor(),
                     need_b ? sum_rows(dy) : Tensor()};
           });
  }
  return result;
}

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const bool fits = a.rank() >= 2 && a.rank() == b.rank() && a.rank() <= 4 &&
                    a.size(transpose_a ? -2 : -1) == b.size(transpose_b ? -1 : -2);
  bool batches_agree = fits;
  for (int i = 0; fits && i < a.rank() - 2; ++i) batches_agree = batches_agree && a.size(i) == b.size(i);
  if (!batches_agree) {
    throw Error("cannot multiply " + to_string(a.shape()) + (transpose_a ? "ᵀ" : "") + " by " + to_string(b.shape()) +
                    (transpose_b ? "ᵀ" : ""),
                "matmul", "inner sizes and leading dimensions must agree");
  }
  const Tensor x = a.detach().contiguous();
  const Tensor y = b.detach().contiguous();
  Tensor c = product(x, transpose_a, y, transpose_b);
  if (wants_grad({&a, &b})) {
    record("matmul", {a, b}, {c},
           [x, y, transpose_a, transpose_b](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dc = g[0].contiguous();
             // C = A B: dA = dC Bᵀ, dB = Aᵀ dC; with Aᵀ stored, d(stored A) = (dA)ᵀ, and likewise for B.
             const Tensor da = transpose_a ? product(y, transpose_b, dc, true) : product(dc, false, y, !transpose_b);
             const Tensor db = transpose_b ? product(dc, true, x, transpose_a) : product(x, !transpose_a, dc, false);
             return {da, db};
           });
  }
  return c;
}

}  // namespace mica
