#pragma once
// Normalisation layers.

#include "mica/autograd/norm.h"
#include "mica/models/scope.h"

namespace mica {

class LayerNorm {
 public:
  LayerNorm() = default;
  LayerNorm(const Scope& scope, int64_t size, double eps)
      : weight_(scope.ones("weight", {size})), bias_(scope.zeros("bias", {size})), eps_(eps) {}

  bool defined() const { return weight_.defined(); }
  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }
  double eps() const { return eps_; }

  Tensor operator()(const Tensor& x) const { return layer_norm(x, weight_, bias_, eps_); }
  /// Of x + residual.
  Tensor operator()(const Tensor& x, const Tensor& residual) const {
    return add_layer_norm(x, residual, weight_, bias_, eps_);
  }

 private:
  Tensor weight_, bias_;
  double eps_ = 0;
};

}  // namespace mica
