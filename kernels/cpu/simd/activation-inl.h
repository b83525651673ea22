// The activations and their derivatives on vectors, for one Highway target: one class each, and the switch over them.

#if defined(MICA_KERNELS_CPU_SIMD_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MICA_KERNELS_CPU_SIMD_ACTIVATION_INL_H_
#undef MICA_KERNELS_CPU_SIMD_ACTIVATION_INL_H_
#else
#define MICA_KERNELS_CPU_SIMD_ACTIVATION_INL_H_
#endif

#include <cmath>

#include "mica/kernels/activation.h"
#include "mica/kernels/cpu/simd/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

// value() for a Vector and for Four; slope() likewise.
struct Identity {
  template <class V>
  HWY_INLINE static V value(V x) {
    return x;
  }
  template <class V>
  HWY_INLINE static V slope(V /*x*/) {
    return fill<V>(1.0F);
  }
};

struct Relu {
  template <class V>
  HWY_INLINE static V value(V x) {
    return at_least(0.0F, x);
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    return if_greater(x, 0.0F, fill<V>(1.0F), fill<V>(0.0F));
  }
};

struct Gelu {
  template <class V>
  HWY_INLINE static V value(V x) {
    return value(x, at_most(6.0F, abs(x)), normal_tail(at_most(6.0F, abs(x))));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    return slope(x, normal_tail(at_most(6.0F, abs(x))));
  }
  // Both, which share most of their work.
  template <class V>
  HWY_INLINE static V value_and_slope(V x, V* slope_of_x) {
    const V a = at_most(6.0F, abs(x)), tail = normal_tail(a);
    *slope_of_x = slope(x, tail);
    return value(x, a, tail);
  }

 private:
  template <class V>
  HWY_INLINE static V value(V x, V a, V tail) {
    return neg_mul_add(a, tail, at_least(0.0F, x));
  }
  template <class V>
  HWY_INLINE static V slope(V x, V tail) {
    const V below = if_less(x, 0.0F, tail, sub(fill<V>(1.0F), tail));
    // x^2 / 2 in powers of two; the density vanishes long before the cap matters.
    const V density = exp2_negative(mul(mul(x, x), fill<V>(-0.72134752F)));
    const V capped = at_least(-20.0F, at_most(20.0F, x));
    return mul_add(mul(capped, fill<V>(0.39894228F)), density, below);
  }
};

// x / 2 (1 + tanh(u)) = x sigmoid(2 u)
struct GeluTanh {
  static constexpr float kScale = 1.5957691216F, kCube = 0.0713548162726F;  // 2 sqrt(2 / pi), and times 0.044715
  template <class V>
  HWY_INLINE static V argument(V x, V square) {
    return mul(x, mul_add(square, fill<V>(kCube), fill<V>(kScale)));
  }
  template <class V>
  HWY_INLINE static V value(V x) {
    return div(x, add(fill<V>(1.0F), exp(neg(argument(x, mul(x, x))))));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    const V capped = at_least(-8.0F, at_most(8.0F, x));  // 0 and 1 beyond
    const V square = mul(capped, capped);
    const SigmoidPair<V> s = sigmoid_pair(argument(capped, square));
    const V du = mul_add(square, fill<V>(3 * kCube), fill<V>(kScale));
    return mul_add(mul(capped, du), mul(s.value, s.complement), s.value);
  }
};

struct QuickGelu {
  template <class V>
  HWY_INLINE static V value(V x) {
    return div(x, add(fill<V>(1.0F), exp(mul(x, fill<V>(-1.702F)))));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    const V u = mul(x, fill<V>(1.702F));
    const SigmoidPair<V> s = sigmoid_pair(u);
    return mul_add(u, mul(s.value, s.complement), s.value);
  }
};

struct Silu {
  template <class V>
  HWY_INLINE static V value(V x) {
    return div(x, add(fill<V>(1.0F), exp(neg(x))));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    const SigmoidPair<V> s = sigmoid_pair(x);
    return mul_add(x, mul(s.value, s.complement), s.value);
  }
};

struct Tanh {
  template <class V>
  HWY_INLINE static V value(V x) {
    return tanh(x);
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    const V t = tanh(x);
    return neg_mul_add(t, t, fill<V>(1.0F));
  }
};

struct Sigmoid {
  template <class V>
  HWY_INLINE static V value(V x) {
    return sigmoid(x);
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    const SigmoidPair<V> s = sigmoid_pair(x);
    return mul(s.value, s.complement);
  }
};

struct Relu2 {
  template <class V>
  HWY_INLINE static V value(V x) {
    const V r = at_least(0.0F, x);
    return mul(r, r);
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    return mul(fill<V>(2.0F), at_least(0.0F, x));
  }
};

// tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2), e = e^x
struct Mish {
  template <class V>
  HWY_INLINE static V value(V x) {
    const V e = exp(at_most(20.0F, x));
    const V n = mul(e, add(e, fill<V>(2.0F)));
    return mul(x, div(n, add(n, fill<V>(2.0F))));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    const V e = exp(at_most(20.0F, x));
    const V n = mul(e, add(e, fill<V>(2.0F)));
    const V d = div(fill<V>(1.0F), add(n, fill<V>(2.0F))), t = mul(n, d);
    const V dt = mul(mul(fill<V>(4.0F), d), mul(add(n, fill<V>(1.0F)), d));  // 1 - t^2
    const V s = div(e, add(e, fill<V>(1.0F)));
    return mul_add(mul(x, s), dt, t);
  }
};

struct Elu {
  template <class V>
  HWY_INLINE static V value(V x) {
    return if_greater(x, 0.0F, x, expm1_negative(x));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    return if_greater(x, 0.0F, fill<V>(1.0F), exp(x));
  }
};

// Beyond 10, gelu is x to the last digit.
struct Gelu10 {
  template <class V>
  HWY_INLINE static V value(V x) {
    return at_most(10.0F, Gelu::value(x));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    return if_greater(x, 10.0F, fill<V>(0.0F), Gelu::slope(x));
  }
};

struct HardSwish {
  template <class V>
  HWY_INLINE static V value(V x) {
    const V part = at_most(1.0F, at_least(0.0F, mul_add(x, fill<V>(1.0F / 6), fill<V>(0.5F))));
    return mul(x, part);
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    const V inside = mul_add(x, fill<V>(1.0F / 3), fill<V>(0.5F));
    return zero_if_less(x, -3.0F, if_greater(x, 3.0F, fill<V>(1.0F), inside));
  }
};

struct Laplace {
  static constexpr float kMean = 0.707107F, kDeviation = 0.282095F;
  template <class V>
  HWY_INLINE static V deviations(V x) {
    return mul(sub(x, fill<V>(kMean)), fill<V>(1 / kDeviation));
  }
  template <class V>
  HWY_INLINE static V value(V x) {
    const V z = deviations(x);
    const V tail = normal_tail(at_most(6.0F, abs(z)));
    return if_less(z, 0.0F, tail, sub(fill<V>(1.0F), tail));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    const V z = at_least(-20.0F, at_most(20.0F, deviations(x)));
    return mul(fill<V>(0.39894228F / kDeviation), exp2_negative(mul(mul(z, z), fill<V>(-0.72134752F))));
  }
};

struct LeakyRelu {
  template <class V>
  HWY_INLINE static V value(V x) {
    return if_greater(x, 0.0F, x, mul(x, fill<V>(0.01F)));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    return if_greater(x, 0.0F, fill<V>(1.0F), fill<V>(0.01F));
  }
};

struct Relu6 {
  template <class V>
  HWY_INLINE static V value(V x) {
    return at_most(6.0F, at_least(0.0F, x));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    return if_greater(x, 0.0F, if_less(x, 6.0F, fill<V>(1.0F), fill<V>(0.0F)), fill<V>(0.0F));
  }
};

// Element by element: a router's few scores need no logarithm of their own on vectors.
struct SqrtSoftplus {
  static float softplus(float x) { return (x > 0 ? x : 0.0F) + std::log1p(std::exp(-std::abs(x))); }
  static float value_of(float x) { return x < -40 ? std::exp(x / 2) : std::sqrt(softplus(x)); }
  static float slope_of(float x) {
    return x < -40 ? std::exp(x / 2) / 2 : 1 / ((1 + std::exp(-x)) * 2 * std::sqrt(softplus(x)));
  }
  template <class F>
  HWY_INLINE static Vector lanes(const F& f, Vector x) {
    HWY_ALIGN float part[kLanes];
    hn::Store(x, kTag, part);
    for (float& element : part) element = f(element);
    return hn::Load(kTag, part);
  }
  template <class F>
  HWY_INLINE static Four lanes(const F& f, const Four& x) {
    return each([&](Vector u) HWY_ATTR { return lanes(f, u); }, x);
  }
  template <class V>
  HWY_INLINE static V value(V x) {
    return lanes(value_of, x);
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    return lanes(slope_of, x);
  }
};

/// body(Relu()), body(Gelu()), ... by name.
template <class Body>
void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::none:
      return body(Identity());
    case Activation::relu:
      return body(Relu());
    case Activation::gelu:
      return body(Gelu());
    case Activation::gelu_tanh:
      return body(GeluTanh());
    case Activation::quick_gelu:
      return body(QuickGelu());
    case Activation::silu:
      return body(Silu());
    case Activation::tanh:
      return body(Tanh());
    case Activation::sigmoid:
      return body(Sigmoid());
    case Activation::relu2:
      return body(Relu2());
    case Activation::mish:
      return body(Mish());
    case Activation::elu:
      return body(Elu());
    case Activation::gelu_10:
      return body(Gelu10());
    case Activation::hardswish:
      return body(HardSwish());
    case Activation::laplace:
      return body(Laplace());
    case Activation::leaky_relu:
      return body(LeakyRelu());
    case Activation::relu6:
      return body(Relu6());
    case Activation::sqrtsoftplus:
      return body(SqrtSoftplus());
  }
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
