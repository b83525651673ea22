#pragma once
// Arithmetic element by element, differentiable, with numpy's broadcasting.

#include "mica/tensor/tensor.h"

namespace mica {

Tensor add(const Tensor& a, const Tensor& b);
Tensor subtract(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor divide(const Tensor& a, const Tensor& b);
/// scale * x + shift.
Tensor affine(const Tensor& x, double scale, double shift = 0);

/// min(max(x, low), high); the gradient passes where x is within [low, high]. A bound may be infinite; NaN stays.
/// Throws Error unless low <= high.
Tensor clamp(const Tensor& x, double low, double high);

inline Tensor operator+(const Tensor& a, const Tensor& b) {
  return add(a, b);
}
inline Tensor operator-(const Tensor& a, const Tensor& b) {
  return subtract(a, b);
}
inline Tensor operator*(const Tensor& a, const Tensor& b) {
  return multiply(a, b);
}
inline Tensor operator/(const Tensor& a, const Tensor& b) {
  return divide(a, b);
}
inline Tensor operator*(const Tensor& a, double scale) {
  return affine(a, scale);
}

}  // namespace mica
