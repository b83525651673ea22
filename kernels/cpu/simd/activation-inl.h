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

struct Identity {
  HWY_INLINE static Vector value(Vector x) { return x; }
  HWY_INLINE static Vector slope(Vector /*x*/) { return constant(1.0F); }
};

struct Relu {
  HWY_INLINE static Vector value(Vector x) { return hn::Max(constant(0.0F), x); }
  HWY_INLINE static Vector slope(Vector x) { return hn::IfThenElseZero(hn::Gt(x, constant(0.0F)), constant(1.0F)); }
};

struct Gelu {
  HWY_INLINE static Vector value(Vector x) {
    const Vector a = hn::Min(constant(6.0F), hn::Abs(x));
    return hn::NegMulAdd(a, normal_tail(a), hn::Max(constant(0.0F), x));
  }
  HWY_INLINE static Vector slope(Vector x) {
    const Vector tail = normal_tail(hn::Min(constant(6.0F), hn::Abs(x)));
    const Vector below = hn::IfThenElse(hn::Lt(x, constant(0.0F)), tail, hn::Sub(constant(1.0F), tail));
    // x^2 / 2 in powers of two; the density vanishes long before the cap matters.
    const Vector density = exp2_negative(hn::Mul(hn::Mul(x, x), constant(-0.72134752F)));
    const Vector capped = hn::Max(constant(-20.0F), hn::Min(constant(20.0F), x));
    return hn::MulAdd(hn::Mul(capped, constant(0.39894228F)), density, below);
  }
};

// x / 2 (1 + tanh(u)) = x sigmoid(2 u)
struct GeluTanh {
  static constexpr float kScale = 1.5957691216F, kCube = 0.0713548162726F;  // 2 sqrt(2 / pi), and times 0.044715
  HWY_INLINE static Vector argument(Vector x, Vector square) {
    return hn::Mul(x, hn::MulAdd(square, constant(kCube), constant(kScale)));
  }
  HWY_INLINE static Vector value(Vector x) {
    return hn::Div(x, hn::Add(constant(1.0F), exp(hn::Neg(argument(x, hn::Mul(x, x))))));
  }
  HWY_INLINE static Vector slope(Vector x) {
    const Vector capped = hn::Max(constant(-20.0F), hn::Min(constant(20.0F), x));
    const Vector square = hn::Mul(capped, capped);
    const Vector s = sigmoid(argument(capped, square));
    const Vector du = hn::MulAdd(square, constant(3 * kCube), constant(kScale));
    return hn::MulAdd(hn::Mul(capped, du), hn::Mul(s, hn::Sub(constant(1.0F), s)), s);
  }
};

struct QuickGelu {
  HWY_INLINE static Vector value(Vector x) {
    return hn::Div(x, hn::Add(constant(1.0F), exp(hn::Mul(x, constant(-1.702F)))));
  }
  HWY_INLINE static Vector slope(Vector x) {
    const Vector u = hn::Mul(x, constant(1.702F)), s = sigmoid(u);
    return hn::MulAdd(u, hn::Mul(s, hn::Sub(constant(1.0F), s)), s);
  }
};

struct Silu {
  HWY_INLINE static Vector value(Vector x) { return hn::Div(x, hn::Add(constant(1.0F), exp(hn::Neg(x)))); }
  HWY_INLINE static Vector slope(Vector x) {
    const Vector s = sigmoid(x);
    return hn::MulAdd(x, hn::Mul(s, hn::Sub(constant(1.0F), s)), s);
  }
};

struct Tanh {
  HWY_INLINE static Vector value(Vector x) { return tanh(x); }
  HWY_INLINE static Vector slope(Vector x) {
    const Vector t = tanh(x);
    return hn::NegMulAdd(t, t, constant(1.0F));
  }
};

struct Sigmoid {
  HWY_INLINE static Vector value(Vector x) { return sigmoid(x); }
  HWY_INLINE static Vector slope(Vector x) {
    const Vector s = sigmoid(x);
    return hn::Mul(s, hn::Sub(constant(1.0F), s));
  }
};

struct Relu2 {
  HWY_INLINE static Vector value(Vector x) {
    const Vector r = hn::Max(constant(0.0F), x);
    return hn::Mul(r, r);
  }
  HWY_INLINE static Vector slope(Vector x) { return hn::Mul(constant(2.0F), hn::Max(constant(0.0F), x)); }
};

// tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2), e = e^x
struct Mish {
  HWY_INLINE static Vector value(Vector x) {
    const Vector e = exp(hn::Min(constant(20.0F), x));
    const Vector n = hn::Mul(e, hn::Add(e, constant(2.0F)));
    return hn::Mul(x, hn::Div(n, hn::Add(n, constant(2.0F))));
  }
  HWY_INLINE static Vector slope(Vector x) {
    const Vector e = exp(hn::Min(constant(20.0F), x));
    const Vector n = hn::Mul(e, hn::Add(e, constant(2.0F)));
    const Vector t = hn::Div(n, hn::Add(n, constant(2.0F)));
    const Vector s = hn::Div(e, hn::Add(e, constant(1.0F)));
    return hn::MulAdd(hn::Mul(x, s), hn::NegMulAdd(t, t, constant(1.0F)), t);
  }
};

struct Elu {
  HWY_INLINE static Vector value(Vector x) { return hn::IfThenElse(hn::Gt(x, constant(0.0F)), x, expm1_negative(x)); }
  HWY_INLINE static Vector slope(Vector x) { return hn::IfThenElse(hn::Gt(x, constant(0.0F)), constant(1.0F), exp(x)); }
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
