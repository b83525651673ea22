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

// [rows, size] with any strides.
Tensor any_rows(const Tensor& x) {
  const Tensor detached = x.detach();
  const int64_t size = x.size(-1);
  return x.rank() == 2 ? detached : detached.contiguous().reshape({size > 0 ? x.numel() / size : 0, size});
}

void check_pair(const char* op, const Tensor& gate, const Tensor& up) {
  if (gate.rank() < 1 || !(gate.shape() == up.shape()) || gate.dtype() != up.dtype()) {
    throw Error("gate " + std::string(name(gate.dtype())) + " " + to_string(gate.shape()) + ", up " +
                    std::string(name(up.dtype())) + " " + to_string(up.shape()),
                op, "need gate and up [..., size] of one shape and dtype");
  }
  check_devices(op, {&gate, &up});
}

void check_halves(const char* op, const Tensor& gate_up, const char* layout) {
  if (gate_up.rank() < 1 || gate_up.size(-1) % 2 != 0) {
    throw Error("gate and up in one tensor " + to_string(gate_up.shape()), op, layout);
  }
}

void check_positive(const char* op, double value) {
  if (!(value > 0)) throw Error("a bound of " + std::to_string(value), op, "pass a positive number");
}

// The even (0) or odd (1) columns.
Tensor columns(const Tensor& x, int64_t which) {
  return x.unflatten(1, x.size(1) / 2).select(2, which);
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
      const Tensor dx = reuse_or_new(g[0]);
      backend(source.device()).activation().backward(activation, source.view(), g[0].contiguous().view(), dx.view());
      return {dx};
    });
  }
  return y;
}

Tensor activate_and_multiply(const Tensor& gate, const Tensor& up, Activation activation) {
  check_pair("activate_and_multiply", gate, up);
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
  check_halves("activate_and_multiply", gate_up, "need [..., 2 size], the gate first");
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

Tensor clamped_swiglu(const Tensor& gate, const Tensor& up, double limit, double alpha) {
  check_pair("clamped_swiglu", gate, up);
  check_positive("clamped_swiglu", limit);
  const Tensor a = any_rows(gate), b = any_rows(up);
  Tensor y = Tensor::empty(a.shape(), a.dtype(), a.device());
  backend(a.device()).activation().clamped_swiglu(a.view(), b.view(), limit, alpha, y.view());
  y = y.reshape(gate.shape());
  if (wants_grad({&gate, &up})) {
    record("clamped_swiglu", {gate, up}, {y},
           [a, b, limit, alpha, shape = gate.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dgate = Tensor::empty(a.shape(), a.dtype(), a.device());
             const Tensor dup = Tensor::empty(a.shape(), a.dtype(), a.device());
             backend(a.device())
                 .activation()
                 .clamped_swiglu_backward(a.view(), b.view(), limit, alpha, g[0].contiguous().reshape(a.shape()).view(),
                                          dgate.view(), dup.view());
             return {dgate.reshape(shape), dup.reshape(shape)};
           });
  }
  return y;
}

Tensor clamped_swiglu(const Tensor& gate_up, double limit, double alpha) {
  check_halves("clamped_swiglu", gate_up, "need [..., 2 size], the gate in the even columns");
  check_positive("clamped_swiglu", limit);
  const Tensor both = dense_rows(gate_up);
  Shape shape = gate_up.shape();
  shape.set(-1, gate_up.size(-1) / 2);
  Tensor y = Tensor::empty(shape, both.dtype(), both.device());
  backend(both.device())
      .activation()
      .clamped_swiglu(columns(both, 0).view(), columns(both, 1).view(), limit, alpha,
                      y.reshape({both.size(0), both.size(1) / 2}).view());
  if (wants_grad({&gate_up})) {
    record("clamped_swiglu", {gate_up}, {y},
           [both, limit, alpha, from = gate_up.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dx = Tensor::empty(both.shape(), both.dtype(), both.device());
             backend(both.device())
                 .activation()
                 .clamped_swiglu_backward(columns(both, 0).view(), columns(both, 1).view(), limit, alpha,
                                          g[0].contiguous().reshape({both.size(0), both.size(1) / 2}).view(),
                                          columns(dx, 0).view(), columns(dx, 1).view());
             return {dx.reshape(from)};
           });
  }
  return y;
}

Tensor softcap(const Tensor& x, double cap) {
  check_positive("softcap", cap);
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  backend(x.device()).activation().softcap(x.detach().contiguous().view(), cap, y.view());
  if (wants_grad({&x})) {
    record("softcap", {x}, {y}, [y = y.detach(), cap](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Tensor dx = reuse_or_new(g[0]);
      backend(y.device()).activation().softcap_backward(y.view(), g[0].contiguous().view(), cap, dx.view());
      return {dx};
    });
  }
  return y;
}

}  // namespace mica
