#pragma once
// One step of an optimizer over all parameters of a model at once: a call takes a list of parameters with their
// gradients and states, and goes once over the memory of each.
//
// In every call the views of an item have the parameter's dtype (float32 or float64) and are contiguous; state starts
// as zeros. g is the gradient times gradient_scale (1, or what clipping shrinks gradients by). Gradients are not
// written. Settings stand with each item, since groups of parameters differ in them.

#include <cmath>
#include <span>

#include "mica/kernels/backend.h"

namespace mica {

/// What of a step of AdamW is another number at each step.
struct AdamWFactors {
  double decay;         ///< 1 - lr weight_decay
  double step_size;     ///< lr / (1 - beta1^t)
  double inverse_root;  ///< 1 / sqrt(1 - beta2^t)
};
inline AdamWFactors adamw_factors(double lr, double beta1, double beta2, double weight_decay, int64_t step) {
  const auto t = static_cast<double>(step);
  return {1 - lr * weight_decay, lr / (1 - std::pow(beta1, t)), 1 / std::sqrt(1 - std::pow(beta2, t))};
}

/// AdamW (Loshchilov and Hutter 2019), t = step:
///   p *= 1 - lr weight_decay;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
///   p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
struct AdamWItem {
  View parameter, gradient;
  View mean, variance;  ///< m, v
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0;
  int64_t step = 1;  ///< of this parameter, this one included
  /// Empty, or float64 [3], AdamWFactors in the device's memory: read by the kernel in place of lr, weight_decay and
  /// step, which change from step to step (recorded ones, kernels/recording.h).
  View factors;
  AdamWFactors own_factors() const { return adamw_factors(lr, beta1, beta2, weight_decay, step); }
};

/// Stochastic gradient descent:  d = g + weight_decay p;  b = momentum b + (1 - dampening) d, at the first step b = d;
///   p -= lr (nesterov ? d + momentum b : b).  Without a buffer b:  p -= lr d.
struct SgdItem {
  View parameter, gradient;
  View buffer;  ///< b; empty: no momentum
  double lr = 0, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
  bool first_step = false;
};

/// Lion (Chen et al. 2023):
///   p *= 1 - lr weight_decay;  p -= lr sign(beta1 m + (1 - beta1) g);  m = beta2 m + (1 - beta2) g
struct LionItem {
  View parameter, gradient;
  View mean;  ///< m
  double lr = 0, beta1 = 0, beta2 = 0, weight_decay = 0;
};

/// Adafactor (Shazeer and Stern 2018). For a matrix (the last two dimensions; those before count matrices):
///   r_i = beta2 r_i + (1 - beta2) mean_j(g_ij^2 + eps);  c_j likewise over i;  u_ij = g_ij / sqrt(r_i c_j / mean(r))
/// else  v = beta2 v + (1 - beta2) (g^2 + eps);  u = g / sqrt(v).  Then
///   a = lr max(eps_scale, rms(p)) (scale_parameter; else a = lr);  u *= a / max(1, rms(u) / clip_threshold)
///   m = beta1 m + (1 - beta1) u, and u = m, where there is m;  p -= weight_decay a p + u
struct AdafactorItem {
  View parameter, gradient;
  View mean;         ///< m; empty: none
  View row, column;  ///< r [..., rows], c [..., columns]; both empty for fewer than two dimensions
  View variance;     ///< v; empty where there are r and c
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0, eps_scale = 0, clip_threshold = 1, weight_decay = 0;
  bool scale_parameter = false;
};

class OptimizerKernels {
 public:
  virtual ~OptimizerKernels() = default;
  /// With device_scale (float64, one element, in the device's memory) its number is read in place of gradient_scale;
  /// where that one is not finite, nothing is moved. All items have factors then, and else none.
  virtual void adamw(std::span<const AdamWItem> items, double gradient_scale, const View& device_scale = {}) = 0;
  virtual void sgd(std::span<const SgdItem> items, double gradient_scale) = 0;
  virtual void lion(std::span<const LionItem> items, double gradient_scale) = 0;
  virtual void adafactor(std::span<const AdafactorItem> items, double gradient_scale) = 0;
  /// y (float64, one element) = the sum of the squares of all elements of all tensors: contiguous, each float32 or
  /// float64. Squares and sums are float64, so that no float32 gradient overflows. In recorded work y is NaN where an
  /// earlier kernel found something wrong with its operands, of which the host hears when it waits.
  virtual void sum_of_squares(std::span<const View> tensors, const View& y) = 0;
};

}  // namespace mica
