#pragma once
// The activations of kernels/activation.h and their derivatives, of one number (float or double).

#include <cmath>

#include "mica/kernels/activation.h"
#include "mica/kernels/cuda/device/keywords.h"

namespace mica::cuda {

template <typename C>
__device__ __forceinline__ C sigmoid(C x) {
  return C(1) / (C(1) + std::exp(-x));
}

// log(1 + exp(x)) without overflow.
template <typename C>
__device__ __forceinline__ C softplus(C x) {
  return (x > 0 ? x : C(0)) + std::log1p(std::exp(-std::abs(x)));
}

// The normal distribution's integral; erfc keeps its digits where x is far below 0.
template <typename C>
__device__ __forceinline__ C normal_cdf(C x) {
  return C(0.5) * std::erfc(-x * C(0.70710678118654752440));
}

template <typename C>
__device__ __forceinline__ C normal_density(C x) {
  return std::exp(C(-0.5) * x * x) * C(0.39894228040143267794);
}

template <typename C>
__device__ __forceinline__ C gelu_argument(C x) {  // sqrt(2 / pi) (x + 0.044715 x^3)
  return C(0.79788456080286535588) * (x + C(0.044715) * x * x * x);
}

// Of the laplace activation: the argument in deviations.
template <typename C>
__device__ __forceinline__ C laplace_argument(C x) {
  return (x - C(0.707107)) / C(0.282095);
}

template <typename C>
__device__ __forceinline__ C activation_value(Activation activation, C x) {
  switch (activation) {
    case Activation::relu:
      return x < 0 ? C(0) : x;  // NaN stays
    case Activation::gelu:
      return x * normal_cdf(x);
    case Activation::gelu_tanh:
      return C(0.5) * x * (C(1) + std::tanh(gelu_argument(x)));
    case Activation::quick_gelu:
      return x * sigmoid(C(1.702) * x);
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::relu2:
      return x < 0 ? C(0) : x * x;
    case Activation::mish:
      return x * std::tanh(softplus(x));
    case Activation::elu:
      return x > 0 ? x : std::expm1(x);
    case Activation::gelu_10: {
      const C y = x * normal_cdf(x);
      return y > 10 ? C(10) : y;
    }
    case Activation::hardswish:
      return x < -3 ? C(0) : x > 3 ? x : x * (x + 3) / 6;
    case Activation::laplace:
      return normal_cdf(laplace_argument(x));
    case Activation::leaky_relu:
      return x > 0 ? x : C(0.01) * x;
    case Activation::relu6:
      return x < 0 ? C(0) : x > 6 ? C(6) : x;
    case Activation::sqrtsoftplus:  // far below 0, log(1 + e^x) is e^x to the last digit
      return x < -40 ? std::exp(x / 2) : std::sqrt(softplus(x));
    default:
      return x;
  }
}

template <typename C>
__device__ __forceinline__ C activation_slope(Activation activation, C x) {
  switch (activation) {
    case Activation::relu:
      return x > 0 ? C(1) : C(0);
    case Activation::gelu:
      return normal_cdf(x) + x * normal_density(x);
    case Activation::gelu_tanh: {
      const C t = std::tanh(gelu_argument(x));
      const C inner = C(0.79788456080286535588) * (C(1) + 3 * C(0.044715) * x * x);
      return C(0.5) * (C(1) + t) + C(0.5) * x * (C(1) - t * t) * inner;
    }
    case Activation::quick_gelu: {
      const C s = sigmoid(C(1.702) * x);
      return s + C(1.702) * x * s * (C(1) - s);
    }
    case Activation::silu: {
      const C s = sigmoid(x);
      return s + x * s * (C(1) - s);
    }
    case Activation::tanh: {
      const C t = std::tanh(x);
      return C(1) - t * t;
    }
    case Activation::sigmoid: {
      const C s = sigmoid(x);
      return s * (C(1) - s);
    }
    case Activation::relu2:
      return x > 0 ? 2 * x : C(0);
    case Activation::mish: {
      const C t = std::tanh(softplus(x));
      return t + x * (C(1) - t * t) * sigmoid(x);
    }
    case Activation::elu:
      return x > 0 ? C(1) : std::exp(x);
    case Activation::gelu_10:
      return x * normal_cdf(x) > 10 ? C(0) : normal_cdf(x) + x * normal_density(x);
    case Activation::hardswish:
      return x < -3 ? C(0) : x > 3 ? C(1) : x / 3 + C(0.5);
    case Activation::laplace:
      return normal_density(laplace_argument(x)) / C(0.282095);
    case Activation::leaky_relu:
      return x > 0 ? C(1) : C(0.01);
    case Activation::relu6:
      return x > 0 && x < 6 ? C(1) : C(0);
    case Activation::sqrtsoftplus:
      return x < -40 ? std::exp(x / 2) / 2 : sigmoid(x) / (2 * std::sqrt(softplus(x)));
    default:
      return C(1);
  }
}

}  // namespace mica::cuda
