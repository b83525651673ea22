// Vectorised exp, tanh and friends, for one Highway target. Included once per target.
//
// The polynomials were fitted by weighted minimax (Lawson's iteration at 40 digits). NaN goes in, NaN comes out.

#if defined(MICA_KERNELS_CPU_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MICA_KERNELS_CPU_SIMD_MATH_INL_H_
#undef MICA_KERNELS_CPU_SIMD_MATH_INL_H_
#else
#define MICA_KERNELS_CPU_SIMD_MATH_INL_H_
#endif

#include "mica/kernels/cpu/simd/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

/// c[0] x^n + c[1] x^(n-1) + ... by Horner's rule.
template <class V>
HWY_INLINE V polynomial(V x, float first, float second) {
  return mul_add(fill<V>(first), x, fill<V>(second));
}

template <class V, class... Rest>
HWY_INLINE V horner(V x, V sum, Rest... rest) {
  ((sum = mul_add(sum, x, fill<V>(rest))), ...);
  return sum;
}

template <class V, class... Rest>
HWY_INLINE V polynomial(V x, float first, float second, Rest... rest) {
  return horner(x, polynomial(x, first, second), rest...);
}

// Adding this rounds to an integer, which then stands in the low bits of the sum.
constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23

/// 2^x for -126 <= x <= 0; relative error 1.5e-7.
template <class V>
HWY_INLINE V exp2_normal(V x) {
  const V rounded = add(x, fill<V>(kRounder));
  const V f = sub(x, sub(rounded, fill<V>(kRounder)));
  const V p =
      polynomial(f, 0.0013264720151F, 0.00967151312734F, 0.0555073376669F, 0.240222420747F, 0.693146977583F, 1.0F);
  return scale_by_power(p, rounded);
}

/// 2^x for x <= 0; 0 where the result would be below the smallest normal number.
template <class V>
HWY_INLINE V exp2_negative(V x) {
  return zero_if_less(x, -126.0F, exp2_normal(x));
}

// x = n log 2 + r with |r| <= log(2) / 2, and p = (e^r - 1 - r) / r^2.
template <class V>
struct ReducedExp {
  V rounded, r, p;
};

template <class V>
HWY_INLINE ReducedExp<V> reduce_exp(V x) {
  ReducedExp<V> e;
  e.rounded = mul_add(x, fill<V>(1.44269504F), fill<V>(kRounder));
  const V n = sub(e.rounded, fill<V>(kRounder));
  e.r = neg_mul_add(n, fill<V>(0.693145752F), x);
  e.r = neg_mul_add(n, fill<V>(1.42860677e-6F), e.r);
  e.p = polynomial(e.r, 0.00138144626867F, 0.00836878082022F, 0.0416683943024F, 0.166665201034F, 0.49999993412F);
  return e;
}

constexpr float kExpLow = -87.3365F;  // below, the result would not be a normal number
constexpr float kExpHigh = 88.7228F;  // above, infinity

/// e^x; relative error 1.2e-7; 0 where the result would be below the smallest normal number.
template <class V>
HWY_INLINE V exp(V x) {
  const ReducedExp<V> e = reduce_exp(x);
  const V p = horner(e.r, e.p, 1.0F, 1.0F);
  const V y = if_greater(x, kExpHigh, fill<V>(HUGE_VALF), scale_by_power(p, e.rounded));
  return zero_if_less(x, kExpLow, y);
}

/// e^x - 1 for x <= 0, exact near 0.
template <class V>
HWY_INLINE V expm1_negative(V x) {
  const V clamped = at_least(-80.0F, x);
  const ReducedExp<V> e = reduce_exp(clamped);
  const V q = mul_add(mul(e.p, e.r), e.r, e.r);
  const V power = scale_by_power(fill<V>(1.0F), e.rounded);
  return mul_add(power, q, sub(power, fill<V>(1.0F)));
}

template <class V>
HWY_INLINE V sigmoid(V x) {
  return div(fill<V>(1.0F), add(fill<V>(1.0F), exp(neg(x))));
}

// sigmoid(x), and 1 - sigmoid(x) without cancellation.
template <class V>
struct SigmoidPair {
  V value, complement;
};

template <class V>
HWY_INLINE SigmoidPair<V> sigmoid_pair(V x) {
  const V e = exp(at_most(80.0F, neg(x)));
  const V s = div(fill<V>(1.0F), add(fill<V>(1.0F), e));
  return {s, mul(e, s)};
}

/// Relative error 3e-7.
template <class V>
HWY_INLINE V tanh(V x) {
  const V a = abs(x);
  const V e = exp(mul(a, fill<V>(-2.0F)));
  const V large = div(sub(fill<V>(1.0F), e), add(fill<V>(1.0F), e));
  const V s = mul(x, x);
  const V q = polynomial(s, -0.00551516717979F, 0.0204694234899F, -0.0536880244869F, 0.133308303668F, -0.333332598492F);
  return if_less(a, 0.625F, mul_add(mul(q, s), x, x), copy_sign(large, x));
}

/// The normal distribution's tail at 0 <= a <= 6: Phi(-a), absolute error 3e-8.
/// Its logarithm is nearly a parabola, so that one polynomial and one power of 2 do.
template <class V>
HWY_INLINE V normal_tail(V a) {
  return exp2_normal(polynomial(a, -2.33493240079e-6F, 3.37376363136e-5F, -0.000161293159738F, -0.000191704514691F,
                                0.00712686533784F, -0.0525336125874F, -0.45919828176F, -1.15110604192F, -1.0F));
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
