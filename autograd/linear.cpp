#include "mica/autograd/linear.h"

#include <optional>
#include <string>

#include "mica/autograd/activation.h"
#include "mica/autograd/adjacent.h"
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

// Sum over the rows of x[rows, size].
void sum_rows(const Tensor& x, const Tensor& sum) {
  backend(x.device())
      .reduce()
      .reduce(ReduceOp::sum, x.reshape({1, x.size(0), x.size(1)}).view(), sum.reshape({1, x.size(1)}).view());
}

// Whether tensors of these dtypes are multiplied in the first, the other being a parameter of float32: mixed precision
// where activations have 16 bits.
bool mixed(DType activations, DType parameter) {
  return parameter == DType::float32 && (activations == DType::bfloat16 || activations == DType::float16);
}

// The weight, rounded for activations of 16 bits; its gradients are made in its own dtype.
struct Kept {
  Weight weight;
  DType dtype;
  bool need_weight, need_bias;
  Kept(const LinearParameters& own, const Tensor& x)
      : weight(mixed(x.dtype(), own.weight.dtype()) ? own.weight.detach().to(x.dtype()) : own.weight.detach()),
        dtype(own.weight.dtype()),
        need_weight(own.weight.requires_grad()),
        need_bias(own.bias.requires_grad()) {}
};

// x [..., in] as [rows, in].
Tensor rows_of(const Tensor& x) {
  const int64_t in = x.size(-1);
  return x.detach().contiguous().reshape({in > 0 ? x.numel() / in : 0, in});
}

// y [rows, out].
Tensor forward(const Tensor& rows, const Weight& weight, const Tensor& bias, DType factors,
               const ProductExtras& extras = {}) {
  const int64_t out = weight.stored.size(weight.transposed ? 1 : 0);
  const Tensor y = Tensor::empty({rows.size(0), out}, rows.dtype(), rows.device());
  LinearKernels& kernels = backend(rows.device()).linear();
  if (weight.stored.dtype() == rows.dtype()) {
    kernels.product(rows.view(), false, weight.stored.view(), !weight.transposed, bias.view(), y.view(), factors, false,
                    extras);
    return y;
  }
  kernels.forward(rows.view(), weight.by_rows().view(), {.bias = bias.view()}, y.view());
  if (extras.activated) backend(rows.device()).activation().forward(extras.activation, y.view(), extras.activated);
  return y;
}

// dx = dy · W, or that added to dx.
void input_gradient(const Tensor& dy, const Weight& weight, DType factors, bool add, const Tensor& dx,
                    const ProductExtras& extras = {}) {
  backend(dy.device())
      .linear()
      .product(dy.view(), false, weight.stored.to(dy.dtype()).view(), weight.transposed, {}, dx.view(), factors, add,
               extras);
}

struct ParameterGradients {
  Tensor weight, bias;
};

// dW = dyᵀ · x, lying as the weight is stored, and the sum of dy's rows.
ParameterGradients parameter_gradients(const Tensor& dy, const Tensor& x, const Kept& kept, DType factors) {
  ParameterGradients result;
  const Weight& weight = kept.weight;
  const DType made = mixed(dy.dtype(), kept.dtype) ? kept.dtype : dy.dtype();
  if (!kept.need_weight) {
    if (!kept.need_bias) return result;
    result.bias = Tensor::empty({dy.size(1)}, dy.dtype(), dy.device());
    sum_rows(dy, result.bias);
    result.bias = result.bias.to(made);
    return result;
  }
  if (kept.need_bias) result.bias = Tensor::empty({dy.size(1)}, made, dy.device());
  const Tensor dw = Tensor::empty(weight.stored.shape(), made, dy.device());
  const Tensor &left = weight.transposed ? x : dy, &right = weight.transposed ? dy : x;
  ProductExtras extras;
  (weight.transposed ? extras.b_sums : extras.a_sums) = result.bias.view();
  backend(dy.device()).linear().product(left.view(), true, right.view(), false, {}, dw.view(), factors, false, extras);
  const Tensor gradient = dw.to(kept.dtype);
  result.weight = weight.transposed ? gradient.transpose(0, 1) : gradient;
  return result;
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

namespace {

// Layers whose parameters lie one behind the other as one layer; nothing where they do not.
std::optional<LinearParameters> as_one(const std::vector<LinearParameters>& layers) {
  int64_t out = layers[0].weight.size(0);
  for (size_t i = 1; i < layers.size(); ++i) {
    const auto &before = layers[i - 1], &next = layers[i];
    const bool fits = before.weight.is_contiguous() && next.weight.is_contiguous() &&
                      follows(before.weight, before.weight.numel(), next.weight) &&
                      before.weight.requires_grad() == next.weight.requires_grad() &&
                      before.bias.defined() == next.bias.defined() &&
                      before.bias.requires_grad() == next.bias.requires_grad();
    if (!fits || (next.bias.defined() && !follows(before.bias, before.bias.numel(), next.bias))) return std::nullopt;
    out += next.weight.size(0);
  }
  const auto& [weight, bias] = layers[0];
  return LinearParameters{from_start_of(weight, {out, weight.size(1)}),
                          bias.defined() ? from_start_of(bias, {out}) : Tensor()};
}

// The gradient of the rows, added to what the input has from elsewhere where that can be done in place.
Tensor input_gradient(const Tensor& dy, const Weight& weight, DType factors, const Shape& rows, const Shape& shape) {
  Tensor dx = take_gradient(0, dy.dtype());
  const bool add = dx.defined();
  if (!add) dx = Tensor::empty(rows, dy.dtype(), dy.device());
  input_gradient(dy, weight, factors, add, add ? dx.reshape(rows) : dx);
  return dx.reshape(shape);
}

std::vector<Tensor> joined_linears(const Tensor& x, const std::vector<LinearParameters>& layers,
                                   const LinearParameters& whole, DType factors, bool tracked) {
  Kept kept(whole, x);
  kept.need_weight = layers[0].weight.requires_grad();
  kept.need_bias = layers[0].bias.requires_grad();
  const Tensor rows = rows_of(x);
  const Tensor y = forward(rows, kept.weight, whole.bias, factors);
  std::vector<Tensor> inputs{x}, results;
  std::vector<int64_t> sizes;
  int64_t column = 0;
  for (const auto& [weight, bias] : layers) {
    sizes.push_back(weight.size(0));
    results.push_back(y.slice(1, column, column + sizes.back()));
    column += sizes.back();
    inputs.insert(inputs.end(), {weight, bias});
  }
  if (!tracked) return results;
  record("linear", inputs, results,
         [rows, kept, factors, sizes, total = column,
          need_x = x.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
           const Tensor dy = join_slices(g, sizes, 1, {rows.size(0), total});
           const ParameterGradients whole_gradient = parameter_gradients(dy, rows, kept, factors);
           std::vector<Tensor> gradients(1);
           int64_t row = 0;
           for (const int64_t size : sizes) {
             for (const Tensor& each : {whole_gradient.weight, whole_gradient.bias})
               gradients.push_back(each.defined() ? each.slice(0, row, row + size) : Tensor());
             row += size;
           }
           if (need_x) gradients[0] = input_gradient(dy, kept.weight, factors, rows.shape(), rows.shape());
           return gradients;
         });
  return results;
}

}  // namespace

std::vector<Tensor> linears(const Tensor& x, const std::vector<LinearParameters>& layers, DType factors) {
  std::vector<Kept> kept;
  std::vector<Tensor> inputs{x}, results;
  bool tracked = wants_grad({&x});
  for (const auto& [weight, bias] : layers) {
    check(x, weight, bias);
    inputs.insert(inputs.end(), {weight, bias});
    tracked = tracked || wants_grad({&weight, &bias});
  }
  const DType dtype = layers[0].weight.dtype();
  if (layers.size() > 1 && x.rank() == 2 && (dtype == x.dtype() || mixed(x.dtype(), dtype))) {
    if (const auto whole = as_one(layers)) return joined_linears(x, layers, *whole, factors, tracked);
  }
  for (const LinearParameters& each : layers) kept.emplace_back(each, x);
  const Tensor rows = rows_of(x);
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
               if (need_x && !dx.defined()) {
                 dx = input_gradient(dy, kept[i].weight, factors, rows.shape(), rows.shape());
               } else if (need_x) {
                 input_gradient(dy, kept[i].weight, factors, true, dx);
               }
               const ParameterGradients own = parameter_gradients(dy, rows, kept[i], factors);
               gradients.insert(gradients.end(), {own.weight, own.bias});
             }
             if (dx.defined()) gradients[0] = dx.reshape(shape);
             return gradients;
           });
  }
  return results;
}

Activated linear_and_activation(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation,
                                DType factors) {
  check(x, weight, bias);
  const Kept kept({weight, bias}, x);
  const Tensor rows = rows_of(x);
  const Shape shape = with_last(x.shape(), weight.size(0));
  const Tensor after = Tensor::empty({rows.size(0), weight.size(0)}, rows.dtype(), rows.device());
  const ProductExtras extras{.activation = activation, .activated = after.view()};
  Activated result{forward(rows, kept.weight, bias, factors, extras).reshape(shape), after.reshape(shape), activation};
  if (wants_grad({&x, &weight, &bias})) {
    record("linear", {x, weight, bias}, {result.before},
           [rows, kept, factors, shape = x.shape(),
            need_x = x.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dy = g[0].contiguous().reshape({rows.size(0), g[0].size(-1)});
             const ParameterGradients own = parameter_gradients(dy, rows, kept, factors);
             return {need_x ? input_gradient(dy, kept.weight, factors, rows.shape(), shape) : Tensor(), own.weight,
                     own.bias};
           });
  }
  return result;
}

Tensor activated_linear(const Activated& x, const Tensor& weight, const Tensor& bias, DType factors) {
  check(x.before, weight, bias);
  const Kept kept({weight, bias}, x.before);
  const Tensor rows = rows_of(x.before);
  const Tensor after = x.after.defined() ? rows_of(x.after) : activate(rows, x.activation);
  Tensor y = forward(after, kept.weight, bias, factors).reshape(with_last(x.before.shape(), weight.size(0)));
  if (!wants_grad({&x.before, &weight, &bias})) return y;
  record("activated_linear", {x.before, weight, bias}, {y},
         [rows, kept, activation = x.activation, factors, shape = x.before.shape(),
          need_x = x.before.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
           const Tensor dy = g[0].contiguous().reshape({rows.size(0), g[0].size(-1)});
           // The activation is made again while the gradient passes through it.
           Tensor dx, again;
           if (need_x && activation != Activation::none) {
             dx = Tensor::empty(rows.shape(), dy.dtype(), dy.device());
             if (kept.need_weight) again = Tensor::empty(rows.shape(), dy.dtype(), dy.device());
             input_gradient(dy, kept.weight, factors, false, dx,
                            {.activation = activation, .before = rows.view(), .activated = again.view()});
           } else if (need_x) {
             dx = input_gradient(dy, kept.weight, factors, rows.shape(), rows.shape());
           }
           if (kept.need_weight && !again.defined()) again = activate(rows, activation);
           const ParameterGradients own = parameter_gradients(dy, again, kept, factors);
           return {dx.defined() ? dx.reshape(shape) : Tensor(), own.weight, own.bias};
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
