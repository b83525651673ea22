// Activations and their derivatives, one loop each; the formulas stand in activation.h.

#include "mica/kernels/activation.h"

#include <cmath>
#include <numbers>

#include "mica/kernels/cpu/backend.h"
#include "mica/kernels/cpu/pointwise.h"
#include "mica/kernels/cpu/simd/activation.h"
#include "mica/kernels/cpu/support.h"

namespace mica {
namespace cpu {
namespace {

template <typename T>
T sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

// log(1 + exp(x)) without overflow.
template <typename T>
T softplus(T x) {
  return std::max(x, T(0)) + std::log1p(std::exp(-std::abs(x)));
}

// The normal distribution's integral; erfc keeps its digits where x is far below 0.
template <typename T>
T normal_cdf(T x) {
  return T(0.5) * std::erfc(-x * (std::numbers::sqrt2_v<T> / 2));
}

template <typename T>
T normal_density(T x) {
  return std::exp(T(-0.5) * x * x) * (std::numbers::inv_sqrtpi_v<T> / std::numbers::sqrt2_v<T>);
}

// The laplace activation's argument in deviations.
template <typename T>
constexpr T kLaplaceMean = T(0.707107);
template <typename T>
constexpr T kLaplaceDeviation = T(0.282095);

// Below, log(1 + e^x) is e^x to the last digit of a double, and its root doesn't vanish with it.
constexpr int kSoftplusIsExp = -40;

template <typename T>
constexpr T kGeluScale = std::numbers::sqrt2_v<T>* std::numbers::inv_sqrtpi_v<T>;  // sqrt(2 / pi)
template <typename T>
constexpr T kGeluCubic = T(0.044715);

template <typename T>
T value(Activation activation, T x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x < 0 ? T(0) : x;  // NaN stays
    case Activation::gelu:
      return x * normal_cdf(x);
    case Activation::gelu_tanh:
      return T(0.5) * x * (T(1) + std::tanh(kGeluScale<T> * (x + kGeluCubic<T> * x * x * x)));
    case Activation::quick_gelu:
      return x * sigmoid(T(1.702) * x);
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::relu2:
      return x < 0 ? T(0) : x * x;
    case Activation::mish:
      return x * std::tanh(softplus(x));
    case Activation::elu:
      return x > 0 ? x : std::expm1(x);
    case Activation::gelu_10: {
      const T y = x * normal_cdf(x);
      return y > 10 ? T(10) : y;
    }
    case Activation::hardswish:
      return x < -3 ? T(0) : x > 3 ? x : x * (x + 3) / 6;
    case Activation::laplace:
      return normal_cdf((x - kLaplaceMean<T>) / kLaplaceDeviation<T>);
    case Activation::leaky_relu:
      return x > 0 ? x : T(0.01) * x;
    case Activation::relu6:
      return x < 0 ? T(0) : x > 6 ? T(6) : x;
    case Activation::sqrtsoftplus:
      return x < kSoftplusIsExp ? std::exp(x / 2) : std::sqrt(softplus(x));
  }
  return x;
}

template <typename T>
T derivative(Activation activation, T x) {
  switch (activation) {
    case Activation::none:
      return T(1);
    case Activation::relu:
      return x > 0 ? T(1) : T(0);
    case Activation::gelu:
      return normal_cdf(x) + x * normal_density(x);
    case Activation::gelu_tanh: {
      const T t = std::tanh(kGeluScale<T> * (x + kGeluCubic<T> * x * x * x));
      const T inner = kGeluScale<T> * (T(1) + 3 * kGeluCubic<T> * x * x);
      return T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * inner;
    }
    case Activation::quick_gelu: {
      const T s = sigmoid(T(1.702) * x);
      return s + T(1.702) * x * s * (T(1) - s);
    }
    case Activation::silu: {
      const T s = sigmoid(x);
      return s + x * s * (T(1) - s);
    }
    case Activation::tanh: {
      const T t = std::tanh(x);
      return T(1) - t * t;
    }
    case Activation::sigmoid: {
      const T s = sigmoid(x);
      return s * (T(1) - s);
    }
    case Activation::relu2:
      return x > 0 ? 2 * x : T(0);
    case Activation::mish: {
      const T t = std::tanh(softplus(x));
      return t + x * (T(1) - t * t) * sigmoid(x);
    }
    case Activation::elu:
      return x > 0 ? T(1) : std::exp(x);
    case Activation::gelu_10:
      return x * normal_cdf(x) > 10 ? T(0) : normal_cdf(x) + x * normal_density(x);
    case Activation::hardswish:
      return x < -3 ? T(0) : x > 3 ? T(1) : x / 3 + T(0.5);
    case Activation::laplace:
      return normal_density((x - kLaplaceMean<T>) / kLaplaceDeviation<T>) / kLaplaceDeviation<T>;
    case Activation::leaky_relu:
      return x > 0 ? T(1) : T(0.01);
    case Activation::relu6:
      return x > 0 && x < 6 ? T(1) : T(0);
    case Activation::sqrtsoftplus:
      return x < kSoftplusIsExp ? std::exp(x / 2) / 2 : sigmoid(x) / (2 * std::sqrt(softplus(x)));
  }
  return T(1);
}

}  // namespace

template <typename T>
void activate(Activation activation, const T* x, T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = value(activation, x[i]);
}

template <typename T>
void activate_backward(Activation activation, const T* x, const T* dy, T* dx, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * derivative(activation, x[i]);
}

template void activate(Activation, const float*, float*, int64_t);
template void activate(Activation, const double*, double*, int64_t);
template void activate_backward(Activation, const float*, const float*, float*, int64_t);
template void activate_backward(Activation, const double*, const double*, double*, int64_t);

}  // namespace cpu

using namespace cpu;

void CpuActivation::forward(Activation activation, const View& x, const View& y) {
  if (x.dtype == DType::float32)
    return simd::activation_forward(activation, x.as<const float>(), y.as<float>(), x.numel());
  with_floating("activation.forward", x.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(x.numel(), kGrain / 16, [&](int64_t begin, int64_t end) {
      activate(activation, x.as<const T>() + begin, y.as<T>() + begin, end - begin);
    });
  });
}

void CpuActivation::backward(Activation activation, const View& x, const View& dy, const View& dx) {
  if (x.dtype == DType::float32)
    return simd::activation_backward(activation, x.as<const float>(), dy.as<const float>(), dx.as<float>(), x.numel());
  with_floating("activation.backward", x.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(x.numel(), kGrain / 16, [&](int64_t begin, int64_t end) {
      activate_backward(activation, x.as<const T>() + begin, dy.as<const T>() + begin, dx.as<T>() + begin, end - begin);
    });
  });
}

void CpuActivation::gated(Activation activation, const View& gate, const View& up, const View& y) {
  const int64_t rows = y.size(0), size = y.size(1);
  if (y.dtype == DType::float32) {
    return simd::gated({.activation = activation,
                        .gate = gate.as<const float>(),
                        .gate_row = gate.stride(0),
                        .up = up.as<const float>(),
                        .up_row = up.stride(0),
                        .y = y.as<float>(),
                        .y_row = y.stride(0),
                        .size = size},
                       rows);
  }
  with_floating("activation.gated", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(rows, row_grain(16 * size), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const T* g = gate.as<const T>() + row * gate.stride(0);
        const T* u = up.as<const T>() + row * up.stride(0);
        T* out = y.as<T>() + row * y.stride(0);
        for (int64_t i = 0; i < size; ++i) out[i] = value(activation, g[i]) * u[i];
      }
    });
  });
}

void CpuActivation::gated_backward(Activation activation, const View& gate, const View& up, const View& dy,
                                   const View& dgate, const View& dup) {
  const int64_t rows = dy.size(0), size = dy.size(1);
  if (dy.dtype == DType::float32) {
    return simd::gated_backward({.activation = activation,
                                 .gate = gate.as<const float>(),
                                 .gate_row = gate.stride(0),
                                 .up = up.as<const float>(),
                                 .up_row = up.stride(0),
                                 .size = size,
                                 .dy = dy.as<const float>(),
                                 .dy_row = dy.stride(0),
                                 .dgate = dgate.as<float>(),
                                 .dgate_row = dgate.stride(0),
                                 .dup = dup.as<float>(),
                                 .dup_row = dup.stride(0)},
                                rows);
  }
  with_floating("activation.gated_backward", dy.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(rows, row_grain(16 * size), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const T* g = gate.as<const T>() + row * gate.stride(0);
        const T* u = up.as<const T>() + row * up.stride(0);
        const T* d = dy.as<const T>() + row * dy.stride(0);
        T* dg = dgate.as<T>() + row * dgate.stride(0);
        T* du = dup.as<T>() + row * dup.stride(0);
        for (int64_t i = 0; i < size; ++i) {
          const T x = g[i], factor = u[i], slope = d[i];
          dg[i] = slope * factor * derivative(activation, x);
          du[i] = slope * value(activation, x);
        }
      }
    });
  });
}

void CpuActivation::softcap(const View& x, double cap, const View& y) {
  if (x.dtype == DType::float32)
    return simd::softcap(x.as<const float>(), static_cast<float>(cap), y.as<float>(), x.numel());
  with_floating("activation.softcap", x.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(x.numel(), kGrain / 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        y.as<T>()[i] = static_cast<T>(cap) * std::tanh(x.as<const T>()[i] / static_cast<T>(cap));
    });
  });
}

void CpuActivation::softcap_backward(const View& y, const View& dy, double cap, const View& dx) {
  if (y.dtype == DType::float32) {
    return simd::softcap_backward(y.as<const float>(), dy.as<const float>(), static_cast<float>(cap), dx.as<float>(),
                                  y.numel());
  }
  with_floating("activation.softcap_backward", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(y.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const T t = y.as<const T>()[i] / static_cast<T>(cap);
        dx.as<T>()[i] = dy.as<const T>()[i] * (T(1) - t * t);
      }
    });
  });
}

}  // namespace mica
