// Loops over arrays, and vectorised exp, tanh and friends, for one Highway target. Included once per target by the
// kernels of this folder.
//
// The polynomials were fitted by weighted minimax (Lawson's iteration at 40 digits). NaN goes in, NaN comes out.

#if defined(MICA_KERNELS_CPU_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MICA_KERNELS_CPU_SIMD_MATH_INL_H_
#undef MICA_KERNELS_CPU_SIMD_MATH_INL_H_
#else
#define MICA_KERNELS_CPU_SIMD_MATH_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::ScalableTag<float> kTag;
constexpr hn::RebindToSigned<decltype(kTag)> kIntegerTag;
using Vector = hn::Vec<decltype(kTag)>;
constexpr int64_t kLanes = hn::MaxLanes(kTag);

HWY_INLINE Vector constant(float value) {
  return hn::Set(kTag, value);
}

/// The first n < kLanes elements at p, zeros after them. Reads nothing beyond.
HWY_INLINE Vector load_part(const float* p, int64_t n) {
  HWY_ALIGN float part[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) part[i] = p[i];
  return hn::Load(kTag, part);
}

HWY_INLINE void store_part(Vector v, float* p, int64_t n) {
  HWY_ALIGN float part[kLanes];
  hn::Store(v, kTag, part);
  for (int64_t i = 0; i < n; ++i) p[i] = part[i];
}

HWY_INLINE float sum_of(Vector v) {
  return hn::GetLane(hn::SumOfLanes(kTag, v));
}

/// body(i, n) for each vector of [0, size): n elements from i on, n = kLanes but for the last.
template <class Body>
HWY_INLINE void for_vectors(int64_t size, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) body(i, kLanes);
  if (i < size) body(i, size - i);
}

HWY_INLINE Vector load(const float* p, int64_t n) {
  return n == kLanes ? hn::LoadU(kTag, p) : load_part(p, n);
}

HWY_INLINE void store(Vector v, float* p, int64_t n) {
  if (n == kLanes) {
    hn::StoreU(v, kTag, p);
  } else {
    store_part(v, p, n);
  }
}

// Four vectors that go through a function side by side. One vector at a time, a chain of twenty dependent operations
// fills the scheduler before it is done; four interleaved chains keep the units busy.
struct Four {
  Vector v[4];
};

template <class Operation, class... Operands>
HWY_INLINE Four each(const Operation& operation, const Operands&... x) {
  Four y;
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) y.v[i] = operation(x.v[i]...);
  return y;
}

HWY_INLINE Four load_four(const float* p) {
  return {{hn::LoadU(kTag, p), hn::LoadU(kTag, p + kLanes), hn::LoadU(kTag, p + 2 * kLanes),
           hn::LoadU(kTag, p + 3 * kLanes)}};
}

HWY_INLINE void store_four(const Four& x, float* p) {
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) hn::StoreU(x.v[i], kTag, p + i * kLanes);
}

HWY_INLINE float sum_of(const Four& x) {
  return sum_of(hn::Add(hn::Add(x.v[0], x.v[1]), hn::Add(x.v[2], x.v[3])));
}

// The operations that functions below are written in, for a Vector and for Four.
template <class V>
HWY_INLINE V fill(float value) {
  if constexpr (sizeof(V) == sizeof(Four)) {
    const Vector v = constant(value);
    return {{v, v, v, v}};
  } else {
    return constant(value);
  }
}

HWY_INLINE Vector mul_add(Vector a, Vector b, Vector c) {
  return hn::MulAdd(a, b, c);
}
HWY_INLINE Vector neg_mul_add(Vector a, Vector b, Vector c) {
  return hn::NegMulAdd(a, b, c);
}
HWY_INLINE Vector add(Vector a, Vector b) {
  return hn::Add(a, b);
}
HWY_INLINE Vector sub(Vector a, Vector b) {
  return hn::Sub(a, b);
}
HWY_INLINE Vector mul(Vector a, Vector b) {
  return hn::Mul(a, b);
}
HWY_INLINE Vector div(Vector a, Vector b) {
  return hn::Div(a, b);
}
HWY_INLINE Vector neg(Vector a) {
  return hn::Neg(a);
}
HWY_INLINE Vector abs(Vector a) {
  return hn::Abs(a);
}
HWY_INLINE Vector copy_sign(Vector magnitude, Vector sign) {
  return hn::CopySign(magnitude, sign);
}
/// a where x < bound, else b.
HWY_INLINE Vector if_less(Vector x, float bound, Vector a, Vector b) {
  return hn::IfThenElse(hn::Lt(x, constant(bound)), a, b);
}
HWY_INLINE Vector zero_if_less(Vector x, float bound, Vector b) {
  return hn::IfThenZeroElse(hn::Lt(x, constant(bound)), b);
}
HWY_INLINE Vector if_greater(Vector x, float bound, Vector a, Vector b) {
  return hn::IfThenElse(hn::Gt(x, constant(bound)), a, b);
}
// x but at least, at most, the bound; NaN stays. On x86 the instruction returns its second operand for a NaN.
HWY_INLINE Vector at_least(float bound, Vector x) {
  if constexpr (HWY_TARGET == HWY_SCALAR) return if_less(x, bound, constant(bound), x);
  return hn::Max(constant(bound), x);
}
HWY_INLINE Vector at_most(float bound, Vector x) {
  if constexpr (HWY_TARGET == HWY_SCALAR) return if_greater(x, bound, constant(bound), x);
  return hn::Min(constant(bound), x);
}
/// v * 2^n for the integer n in the low bits of `rounded`; the result must be a normal number.
HWY_INLINE Vector scale_by_power(Vector v, Vector rounded) {
  return hn::BitCast(kTag, hn::Add(hn::BitCast(kIntegerTag, v), hn::ShiftLeft<23>(hn::BitCast(kIntegerTag, rounded))));
}

HWY_INLINE Four mul_add(const Four& a, const Four& b, const Four& c) {
  return each([](auto... u) HWY_ATTR { return mul_add(u...); }, a, b, c);
}
HWY_INLINE Four neg_mul_add(const Four& a, const Four& b, const Four& c) {
  return each([](auto... u) HWY_ATTR { return neg_mul_add(u...); }, a, b, c);
}
HWY_INLINE Four add(const Four& a, const Four& b) {
  return each([](auto... u) HWY_ATTR { return add(u...); }, a, b);
}
HWY_INLINE Four sub(const Four& a, const Four& b) {
  return each([](auto... u) HWY_ATTR { return sub(u...); }, a, b);
}
HWY_INLINE Four mul(const Four& a, const Four& b) {
  return each([](auto... u) HWY_ATTR { return mul(u...); }, a, b);
}
HWY_INLINE Four div(const Four& a, const Four& b) {
  return each([](auto... u) HWY_ATTR { return div(u...); }, a, b);
}
HWY_INLINE Four neg(const Four& a) {
  return each([](auto... u) HWY_ATTR { return neg(u...); }, a);
}
HWY_INLINE Four abs(const Four& a) {
  return each([](auto... u) HWY_ATTR { return abs(u...); }, a);
}
HWY_INLINE Four copy_sign(const Four& magnitude, const Four& sign) {
  return each([](auto... u) HWY_ATTR { return copy_sign(u...); }, magnitude, sign);
}
HWY_INLINE Four scale_by_power(const Four& v, const Four& rounded) {
  return each([](auto... u) HWY_ATTR { return scale_by_power(u...); }, v, rounded);
}
HWY_INLINE Four if_less(const Four& x, float bound, const Four& a, const Four& b) {
  return each([=](Vector u, auto... rest) HWY_ATTR { return if_less(u, bound, rest...); }, x, a, b);
}
HWY_INLINE Four zero_if_less(const Four& x, float bound, const Four& b) {
  return each([=](Vector u, auto... rest) HWY_ATTR { return zero_if_less(u, bound, rest...); }, x, b);
}
HWY_INLINE Four if_greater(const Four& x, float bound, const Four& a, const Four& b) {
  return each([=](Vector u, auto... rest) HWY_ATTR { return if_greater(u, bound, rest...); }, x, a, b);
}
HWY_INLINE Four at_least(float bound, const Four& x) {
  return each([=](Vector u) HWY_ATTR { return at_least(bound, u); }, x);
}
HWY_INLINE Four at_most(float bound, const Four& x) {
  return each([=](Vector u) HWY_ATTR { return at_most(bound, u); }, x);
}

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
