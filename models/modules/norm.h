#pragma once
// Normalisation layers.

#include "mica/autograd/norm.h"
#include "mica/models/scope.h"

namespace mica {

enum class NormKind : uint8_t {
  layer_norm,  ///< (x - mean) * rstd * weight + bias
  rms_norm,    ///< x * rsqrt(mean(x^2) + eps) * weight
};

/// What a norm is, whatever its size and its name.
struct NormSpec {
  NormKind kind = NormKind::layer_norm;
  double eps = 1e-12;
  bool bias = true;          ///< a layer norm's
  bool affine = true;        ///< otherwise there are no parameters: the weight is 1, the bias 0
  double weight_offset = 0;  ///< 1 where files hold weight - 1
  bool old_names = false;    ///< what is called LayerNorm has "gamma" and "beta" on disk
};

class Norm {
 public:
  Norm() = default;
  Norm(const Scope& scope, int64_t size, const NormSpec& spec) : spec_(spec) {
    if (!spec.affine) {
      weight_ = scope.constant(Tensor::ones({size}));
      return;
    }
    const bool old = spec.old_names && scope.prefix().ends_with("LayerNorm.");
    const char* weight = old ? "gamma" : "weight";
    weight_ = spec.weight_offset == 0 ? scope.ones(weight, {size}) : scope.zeros(weight, {size});
    if (spec.kind == NormKind::layer_norm && spec.bias) bias_ = scope.zeros(old ? "beta" : "bias", {size});
  }

  bool defined() const { return weight_.defined(); }
  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }
  double eps() const { return spec_.eps; }
  /// Whether a product's epilogue can apply it.
  bool fusable() const { return spec_.kind == NormKind::layer_norm && spec_.weight_offset == 0; }

  Tensor operator()(const Tensor& x) const {
    return spec_.kind == NormKind::rms_norm ? rms_norm(x, weight_, spec_.eps, spec_.weight_offset)
                                            : layer_norm(x, weight_, bias_, spec_.eps, spec_.weight_offset);
  }
  /// Of dropout(x, p) + residual.
  Tensor operator()(const Tensor& x, const Tensor& residual, double p = 0) const;
  /// The same, and that sum.
  NormedSum with_sum(const Tensor& x, const Tensor& residual, double p) const;

 private:
  NormSpec spec_;
  Tensor weight_, bias_;
};

}  // namespace mica
