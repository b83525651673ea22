#pragma once
// Normalisation over the last dimension.

#include "mica/kernels/backend.h"
#include "mica/kernels/random.h"

namespace mica {

class NormKernels {
 public:
  virtual ~NormKernels() = default;

  /// s = dropout(x) + residual (without dropout and residual, x);
  /// y = (s - mean(s)) * rstd(s) * weight + bias over each row.
  /// x, residual, s, y: [rows, size] contiguous. weight and bias: [size], bias may be empty. sum (s), mean and rstd
  /// ([rows], dtype of x) are written when given: the backward pass needs them. y and sum may be x or residual; with
  /// dropout, sum is given and is neither.
  virtual void layer_norm(const View& x, const View& residual, const View& weight, const View& bias, double eps,
                          const View& y, const View& sum, const View& mean, const View& rstd,
                          const Dropout& dropout = {}) = 0;

  /// ds of layer_norm, which is the residual's gradient; dx, x's, where elements were dropped (else it is ds); dweight
  /// and dbias: each written (dx, dweight, dbias empty: not wanted). dsum: the gradient that s has from elsewhere, may
  /// be empty. ds may be dy or dsum.
  ///   xhat = (s - mean) rstd;  g = dy * weight;  ds = rstd (g - mean(g) - xhat mean(g xhat)) + dsum;  dx = dropout(ds)
  virtual void layer_norm_backward(const View& dy, const View& sum, const View& mean, const View& rstd,
                                   const View& weight, const View& dsum, const Dropout& dropout, const View& ds,
                                   const View& dx, const View& dweight, const View& dbias) = 0;

  /// y = x * rstd * (weight_offset + weight) over the last dimension, rstd = 1 / sqrt(mean(x^2) + eps).
  /// x: [rows, size] or [rows, heads, size], last stride 1, other strides free. y: of that shape, contiguous; it may be
  /// x. weight: [size], empty for a factor of 1. rstd (as many as there are vectors, dtype of x) is written when given.
  virtual void rms_norm(const View& x, const View& weight, double weight_offset, double eps, const View& y,
                        const View& rstd) = 0;

  /// dx of rms_norm, and dweight, each written (empty: not wanted). x and weight as there; dy and dx: of x's shape,
  /// contiguous; dx may be dy.
  ///   xhat = x rstd;  g = dy * (weight_offset + weight);  dx = rstd (g - xhat mean(g xhat));  dweight = sum of dy xhat
  virtual void rms_norm_backward(const View& dy, const View& x, const View& rstd, const View& weight,
                                 double weight_offset, const View& dx, const View& dweight) = 0;
};

}  // namespace mica
