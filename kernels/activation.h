#pragma once
// Pointwise non-linearities between linear layers, under the names of published configs.

#include <string_view>

#include "mica/kernels/backend.h"

namespace mica {

enum class Activation : uint8_t {
  none,
  relu,
  gelu,        ///< x/2 (1 + erf(x / sqrt 2))
  gelu_tanh,   ///< "gelu_new", "gelu_pytorch_tanh", "gelu_fast": x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  quick_gelu,  ///< x sigmoid(1.702 x)
  silu,        ///< "silu", "swish": x sigmoid(x)
  tanh,
  sigmoid,
  relu2,  ///< relu(x)^2
  mish,   ///< x tanh(softplus(x))
  elu,    ///< x if x > 0 else exp(x) - 1
};
/// For loops over all of them.
constexpr Activation kLastActivation = Activation::elu;

/// From the name in a config ("gelu", "gelu_new", "swish", ...); throws Error naming the unknown one.
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
};

}  // namespace mica
