// The activations and their derivatives on vectors, for one Highway target: one class each, and the switch over them.

#if defined(MICA_KERNELS_CPU_SIMD_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MICA_KERNELS_CPU_SIMD_ACTIVATION_INL_H_
#undef MICA_KERNELS_CPU_SIMD_ACTIVATION_INL_H_
#else
#define MICA_KERNELS_CPU_SIMD_ACTIVATION_INL_H_
#endif

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
    const V a = at_most(6.0F, abs(x));
    return neg_mul_add(a, normal_tail(a), at_least(0.0F, x));
  }
  template <class V>
  HWY_INLINE static V slope(V x) {
    const V tail = normal_tail(at_most(6.0F, abs(x)));
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
  }
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
