#pragma once
// Pointwise non-linearities between linear layers, under the names of published configs.

#include <string_view>

#include "mica/kernels/backend.h"

namespace mica {

enum class Activation : uint8_t {
  none,
  relu,
  gelu,        ///< x/2 (1 + erf(x / sqrt 2))
  gelu_tanh,   ///< "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate":
               ///< x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  quick_gelu,  ///< x sigmoid(1.702 x)
  silu,        ///< "silu", "swish": x sigmoid(x)
  tanh,
  sigmoid,
  relu2,         ///< relu(x)^2
  mish,          ///< x tanh(softplus(x))
  elu,           ///< x if x > 0 else exp(x) - 1
  gelu_10,       ///< gelu, at most 10
  hardswish,     ///< x min(max(x + 3, 0), 6) / 6
  laplace,       ///< the normal distribution's integral, mean 0.707107 and deviation 0.282095, up to x
  leaky_relu,    ///< x if x > 0 else 0.01 x
  relu6,         ///< min(max(x, 0), 6)
  sqrtsoftplus,  ///< sqrt(log(1 + exp(x)))
};
/// For loops over all of them.
constexpr Activation kLastActivation = Activation::sqrtsoftplus;

/// From the name in a config ("gelu", "gelu_new", "swish", ...); throws Error naming the unknown one, or one that has
/// parameters of its own ("prelu", "xielu").
Activation activation_from_name(std::string_view name);
std::string_view name(Activation activation);

class ActivationKernels {
 public:
  virtual ~ActivationKernels() = default;
  /// y = activation(x); contiguous, same shape and dtype; y may be x.
  virtual void forward(Activation activation, const View& x, const View& y) = 0;
  /// dx = dy * activation'(x); dx may be dy.
  virtual void backward(Activation activation, const View& x, const View& dy, const View& dx) = 0;

  /// y = activation(gate) * up, all [rows, size] with last stride 1 and any row stride; y may be gate or up.
  virtual void gated(Activation activation, const View& gate, const View& up, const View& y) = 0;
  /// dgate = dy * up * activation'(gate), dup = dy * activation(gate); strides as in gated(). dgate may be dy or gate,
  /// dup may be up.
  virtual void gated_backward(Activation activation, const View& gate, const View& up, const View& dy,
                              const View& dgate, const View& dup) = 0;

  /// y = (u + 1) g sigmoid(alpha g) with g = min(gate, limit), u = min(max(up, -limit), limit). All [rows, size]; gate
  /// and up with any strides (such as the even and odd columns of one product), y contiguous.
  virtual void clamped_swiglu(const View& gate, const View& up, double limit, double alpha, const View& y) = 0;
  /// Its gradients, zero where a clamp bites; dgate and dup with any strides.
  virtual void clamped_swiglu_backward(const View& gate, const View& up, double limit, double alpha, const View& dy,
                                       const View& dgate, const View& dup) = 0;

  /// y = cap tanh(x / cap), contiguous; y may be x.
  virtual void softcap(const View& x, double cap, const View& y) = 0;
  /// dx = dy (1 - (y / cap)^2) from the output; dx may be dy.
  virtual void softcap_backward(const View& y, const View& dy, double cap, const View& dx) = 0;
};

}  // namespace mica
