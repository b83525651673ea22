#include "mica/autograd/convolution.h"

#include <string>
#include <vector>

#include "mica/autograd/linear.h"
#include "mica/autograd/shape.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/convolution.h"

namespace mica {
namespace {

void check(const Tensor& x, const SequenceOffsets& texts, const Tensor& weight, const Tensor& bias, int64_t before) {
  const bool shapes = x.rank() == 2 && weight.rank() == 3 && weight.size(1) > 0 && x.size(1) % weight.size(1) == 0 &&
                      x.size(1) > 0 && weight.size(0) % (x.size(1) / weight.size(1)) == 0 &&
                      (!bias.defined() || bias.shape() == Shape{weight.size(0)});
  const bool fits = shapes && before >= 0 && before < weight.size(2);
  if (!fits || texts.gaps() || texts.rows() != x.size(0)) {
    throw Error("x " + to_string(x.shape()) + ", weight " + to_string(weight.shape()) + ", " +
                    std::to_string(texts.rows()) + " rows of texts, " + std::to_string(before) + " before",
                "convolution",
                "need x [rows, channels], weight [out, channels / groups, kernel_size] with groups that divide out, "
                "fewer rows before than kernel_size, and texts that own each row once");
  }
  check_devices("convolution", {&x, &weight, &bias});
}

ConvolutionKernels& kernels(const Tensor& x) {
  return backend(x.device()).convolution();
}

Tensor unfold(const Tensor& x, const SequenceOffsets& texts, int64_t groups, int64_t kernel_size, int64_t before) {
  const Tensor rows = x.detach().contiguous();
  Tensor y = Tensor::empty({groups, x.size(0), x.size(1) / groups * kernel_size}, x.dtype(), x.device());
  kernels(x).unfold(rows.view(), texts.segments(), before, y.view());
  if (wants_grad({&x})) {
    record("unfold", {x}, {y}, [shape = x.shape(), texts, before](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Tensor dx = Tensor::empty(shape, g[0].dtype(), g[0].device());
      kernels(dx).fold(g[0].contiguous().view(), texts.segments(), before, dx.view());
      return {dx};
    });
  }
  return y;
}

Tensor depthwise(const Tensor& x, const SequenceOffsets& texts, const Tensor& weight, const Tensor& bias,
                 int64_t before) {
  const Tensor rows = x.detach().contiguous();
  // Parameters of float32 beside activations of 16 bits are rounded to them.
  const auto parameter = [&](const Tensor& own) {
    return own.defined() ? own.detach().to(x.dtype()).contiguous() : Tensor();
  };
  const Tensor filters = parameter(weight).reshape({weight.size(0), weight.size(2)}), shift = parameter(bias);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  kernels(x).depthwise(rows.view(), texts.segments(), filters.view(), shift.view(), before, false, y.view());
  if (!wants_grad({&x, &weight, &bias})) return y;
  std::vector<Tensor> inputs{x, weight};
  if (bias.defined()) inputs.push_back(bias);
  record("depthwise", inputs, {y},
         [rows, texts, filters, before, weight = weight.detach(),
          bias = bias.defined() ? bias.detach() : Tensor()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
           const Tensor dy = g[0].contiguous();
           const Tensor dx = Tensor::empty(rows.shape(), rows.dtype(), rows.device());
           kernels(dx).depthwise(dy.view(), texts.segments(), filters.view(), {}, filters.size(1) - 1 - before, true,
                                 dx.view());
           const Tensor dweight = Tensor::empty(filters.shape(), rows.dtype(), rows.device());
           const Tensor dbias = bias.defined() ? Tensor::empty(bias.shape(), rows.dtype(), rows.device()) : Tensor();
           kernels(dx).depthwise_backward(rows.view(), dy.view(), texts.segments(), before, dweight.view(),
                                          dbias.view());
           std::vector<Tensor> gradients{dx, dweight.reshape(weight.shape()).to(weight.dtype())};
           if (bias.defined()) gradients.push_back(dbias.to(bias.dtype()));
           return gradients;
         });
  return y;
}

}  // namespace

Tensor convolution(const Tensor& x, const SequenceOffsets& texts, const Tensor& weight, const Tensor& bias,
                   int64_t before, DType factors) {
  check(x, texts, weight, bias, before);
  const int64_t part = weight.size(1), groups = x.size(1) / part, kernel_size = weight.size(2);
  if (part == 1 && weight.size(0) == groups) return depthwise(x, texts, weight, bias, before);
  const Tensor taps = unfold(x, texts, groups, kernel_size, before);
  const Tensor filters = reshape(weight, {weight.size(0), part * kernel_size});
  const int64_t made = weight.size(0) / groups;  // by a group
  std::vector<Tensor> parts;
  for (int64_t group = 0; group < groups; ++group) {
    const Tensor seen = reshape(slice(taps, 0, group, group + 1), {x.size(0), part * kernel_size});
    const int64_t first = group * made, last = first + made;
    if (groups == 1) return linear(seen, filters, bias, factors);
    parts.push_back(
        linear(seen, slice(filters, 0, first, last), bias.defined() ? slice(bias, 0, first, last) : Tensor(), factors));
  }
  return cat(parts, 1);
}

}  // namespace mica
