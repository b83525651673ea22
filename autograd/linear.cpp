#include "mica/autograd/linear.h"

#include <string>

#include "mica/autograd/activation.h"
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

// A weight [out, in] as it lies in memory: by rows, or, seen through a transposition, by columns.
struct Weight {
  bool transposed;
  Tensor stored;  // [out, in], or [in, out] if transposed; the last dimension dense
  explicit Weight(const Tensor& weight)
      : transposed(weight.stride(1) != 1 && weight.size(1) != 1 && weight.stride(0) == 1),
        stored(transposed              ? weight.transpose(0, 1)
               : weight.stride(1) == 1 ? weight
                                       : weight.contiguous()) {}
  Tensor by_rows() const { return transposed ? stored.transpose(0, 1).contiguous() : stored; }
};

Shape with_last(const Shape& shape, int64_t last) {
  Shape result = shape;
  result.set(-1, last);
  return result;
}

struct Kept {
  Weight weight;
  bool need_weight, need_bias;
};

// y [rows, out].
Tensor forward(const Tensor& rows, const Weight& weight, const Tensor& bias, DType factors) {
  const int64_t out = weight.stored.size(weight.transposed ? 1 : 0);
  const Tensor y = Tensor::empty({rows.size(0), out}, rows.dtype(), rows.device());
  LinearKernels& kernels = backend(rows.device()).linear();
  if (weight.stored.dtype() == rows.dtype()) {
    kernels.product(rows.view(), false, weight.stored.view(), !weight.transposed, bias.view(), y.view(), factors,
                    false);
  } else {
    kernels.forward(rows.view(), weight.by_rows().view(), {.bias = bias.view()}, y.view());
  }
  return y;
}

// dx = dy · W, or that added to dx.
void input_gradient(const Tensor& dy, const Weight& weight, DType factors, bool add, const Tensor& dx) {
  backend(dy.device())
      .linear()
      .product(dy.view(), false, weight.stored.to(dy.dtype()).view(), weight.transposed, {}, dx.view(), factors, add);
}

// dW = dyᵀ · x, lying as the weight is stored.
Tensor weight_gradient(const Tensor& dy, const Tensor& x, const Weight& weight, DType factors) {
  const Tensor dw = Tensor::empty(weight.stored.shape(), dy.dtype(), dy.device());
  const Tensor &left = weight.transposed ? x : dy, &right = weight.transposed ? dy : x;
  backend(dy.device()).linear().product(left.view(), true, right.view(), false, {}, dw.view(), factors, false);
  const Tensor result = dw.to(weight.stored.dtype());
  return weight.transposed ? result.transpose(0, 1) : result;
}

void check(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (x.rank() < 1 || weight.rank() != 2 || x.size(-1) != weight.size(1) ||
      (bias.defined() && !(bias.shape() == Shape{weight.size(0)}))) {
    throw Error("x " + to_string(x.shape()) + ", weight " + to_string(weight.shape()) + ", bias " +
                    (bias.defined() ? to_string(bias.shape()) : "none"),
                "linear", "need x [..., in], weight [out, in], bias [out]");
  }
  check_devices("linear", {&x, &weight, &bias});
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, DType factors) {
  return linears(x, {{weight, bias}}, factors)[0];
}

std::vector<Tensor> linears(const Tensor& x, const std::vector<LinearParameters>& layers, DType factors) {
  std::vector<Kept> kept;
  std::vector<Tensor> inputs{x}, results;
  bool tracked = wants_grad({&x});
  for (const auto& [weight, bias] : layers) {
    check(x, weight, bias);
    kept.push_back({Weight(weight.detach()), weight.requires_grad(), bias.requires_grad()});
    inputs.insert(inputs.end(), {weight, bias});
    tracked = tracked || wants_grad({&weight, &bias});
  }
  const int64_t in = x.size(-1);
  const Tensor rows = x.detach().contiguous().reshape({in > 0 ? x.numel() / in : 0, in});
  for (size_t i = 0; i < layers.size(); ++i) {
    results.push_back(
        forward(rows, kept[i].weight, layers[i].bias, factors).reshape(with_last(x.shape(), layers[i].weight.size(0))));
  }
  if (tracked) {
    record("linear", inputs, results,
           [rows, kept, factors, shape = x.shape(),
            need_x = x.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             std::vector<Tensor> gradients(1);
             Tensor dx;
             for (size_t i = 0; i < kept.size(); ++i) {
               if (!g[i].defined()) {
                 gradients.insert(gradients.end(), 2, Tensor());
                 continue;
               }
               const Tensor dy = g[i].contiguous().reshape({rows.size(0), g[i].size(-1)});
               if (need_x) {
                 const bool first = !dx.defined();
                 if (first) dx = Tensor::empty(rows.shape(), dy.dtype(), dy.device());
                 input_gradient(dy, kept[i].weight, factors, !first, dx);
               }
               gradients.push_back(kept[i].need_weight ? weight_gradient(dy, rows, kept[i].weight, factors) : Tensor());
               gradients.push_back(kept[i].need_bias ? sum_rows(dy) : Tensor());
             }
             if (dx.defined()) gradients[0] = dx.reshape(shape);
             return gradients;
           });
  }
  return results;
}

Tensor activated_linear(const Tensor& x, Activation activation, const Tensor& weight, const Tensor& bias,
                        DType factors) {
  if (!wants_grad({&x, &weight, &bias})) return linear(activate(x, activation), weight, bias, factors);
  check(x, weight, bias);
  const Kept kept{Weight(weight.detach()), weight.requires_grad(), bias.requires_grad()};
  const int64_t in = x.size(-1);
  const Tensor rows = x.detach().contiguous().reshape({in > 0 ? x.numel() / in : 0, in});
  Tensor y =
      forward(activate(rows, activation), kept.weight, bias, factors).reshape(with_last(x.shape(), weight.size(0)));
  record("activated_linear", {x, weight, bias}, {y},
         [rows, kept, activation, factors, shape = x.shape(),
          need_x = x.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
           const Tensor dy = g[0].contiguous().reshape({rows.size(0), g[0].size(-1)});
           std::vector<Tensor> gradients(3);
           if (kept.need_weight) gradients[1] = weight_gradient(dy, activate(rows, activation), kept.weight, factors);
           if (kept.need_bias) gradients[2] = sum_rows(dy);
           if (need_x) {
             const Tensor dx = Tensor::empty(rows.shape(), dy.dtype(), dy.device());
             input_gradient(dy, kept.weight, factors, false, dx);
             if (activation != Activation::none) {
               backend(dx.device()).activation().backward(activation, rows.view(), dx.view(), dx.view());
             }
             gradients[0] = dx.reshape(shape);
           }
           return gradients;
         });
  return y;
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
  check_devices("matmul", {&a, &b});
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
