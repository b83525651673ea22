#include "mica/autograd/activation.h"

#include "mica/autograd/tape.h"

namespace mica {

Tensor activate(const Tensor& x, Activation activation) {
  if (activation == Activation::none) return x;
  const Tensor source = x.detach().contiguous();
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  backend(x.device()).activation().forward(activation, source.view(), y.view());
  if (wants_grad({&x})) {
    record("activate", {x}, {y}, [source, activation](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Tensor dx = Tensor::empty(source.shape(), source.dtype(), source.device());
      backend(source.device()).activation().backward(activation, source.view(), g[0].contiguous().view(), dx.view());
      return {dx};
    });
  }
  return y;
}

}  // namespace mica
