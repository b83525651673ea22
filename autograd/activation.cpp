#include "mica/autograd/activation.h"

#include <string>

#include "mica/autograd/tape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

// As the kernels of gated products take it: [rows, size], the last dimension dense.
Tensor dense_rows(const Tensor& x) {
  const Tensor detached = x.detach();
  const int64_t size = x.size(-1);
  if (x.rank() == 2 && (size <= 1 || x.stride(1) == 1)) return detached;
  return detached.contiguous().reshape({size > 0 ? x.numel() / size : 0, size});
}

Tensor gated(const Tensor& gate, const Tensor& up, const Shape& shape, Activation activation) {
  const Tensor y = Tensor::empty(gate.shape(), gate.dtype(), gate.device());
  backend(gate.device()).activation().gated(activation, gate.view(), up.view(), y.view());
  return y.reshape(shape);
}

}  // namespace

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

Tensor activate_and_multiply(const Tensor& gate, const Tensor& up, Activation activation) {
  if (gate.rank() < 1 || !(gate.shape() == up.shape()) || gate.dtype() != up.dtype()) {
    throw Error("gate " + std::string(name(gate.dtype())) + " " + to_string(gate.shape()) + ", up " +
                    std::string(name(up.dtype())) + " " + to_string(up.shape()),
                "activate_and_multiply", "need gate and up [..., size] of one shape and dtype");
  }
  const Tensor a = dense_rows(gate), b = dense_rows(up);
  Tensor y = gated(a, b, gate.shape(), activation);
  if (wants_grad({&gate, &up})) {
    record("activate_and_multiply", {gate, up}, {y},
           [a, b, activation, shape = gate.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dgate = Tensor::empty(a.shape(), a.dtype(), a.device());
             const Tensor dup = Tensor::empty(a.shape(), a.dtype(), a.device());
             backend(a.device())
                 .activation()
                 .gated_backward(activation, a.view(), b.view(), dense_rows(g[0]).view(), dgate.view(), dup.view());
             return {dgate.reshape(shape), dup.reshape(shape)};
           });
  }
  return y;
}

Tensor activate_and_multiply(const Tensor& gate_up, Activation activation) {
  if (gate_up.rank() < 1 || gate_up.size(-1) % 2 != 0) {
    throw Error("gate and up in one tensor " + to_string(gate_up.shape()), "activate_and_multiply",
                "need [..., 2 size], the gate first");
  }
  const Tensor both = dense_rows(gate_up);
  const int64_t size = gate_up.size(-1) / 2;
  Shape shape = gate_up.shape();
  shape.set(-1, size);
  Tensor y = gated(both.slice(1, 0, size), both.slice(1, size, 2 * size), shape, activation);
  if (wants_grad({&gate_up})) {
    record("activate_and_multiply", {gate_up}, {y},
           [both, size, activation, from = gate_up.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dx = Tensor::empty(both.shape(), both.dtype(), both.device());
             backend(both.device())
                 .activation()
                 .gated_backward(activation, both.slice(1, 0, size).view(), both.slice(1, size, 2 * size).view(),
                                 dense_rows(g[0]).view(), dx.slice(1, 0, size).view(),
                                 dx.slice(1, size, 2 * size).view());
             return {dx.reshape(from)};
           });
  }
  return y;
}

}  // namespace mica
