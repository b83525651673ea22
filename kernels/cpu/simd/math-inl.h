// Loops over arrays, and vectorised exp, tanh and friends, for one Highway target. Included once per target by the
// kernels of this folder.
//
// The polynomials were fitted by weighted minimax (Lawson's iteration at 40 digits). NaN goes in, NaN comes out: where
// Min and Max are used, the operand that may be NaN stands second, which is what x86 returns.

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

// Adding this rounds to an integer, which then stands in the low bits of the sum.
constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23

/// v * 2^n for the integer n in the low bits of `rounded`; the result must be a normal number.
HWY_INLINE Vector scale_by_power(Vector v, Vector rounded) {
  return hn::BitCast(kTag, hn::Add(hn::BitCast(kIntegerTag, v), hn::ShiftLeft<23>(hn::BitCast(kIntegerTag, rounded))));
}

/// 2^x for x <= 0; relative error 1.5e-7; 0 where the result would be below the smallest normal number.
HWY_INLINE Vector exp2_negative(Vector x) {
  const Vector rounded = hn::Add(x, constant(kRounder));
  const Vector f = hn::Sub(x, hn::Sub(rounded, constant(kRounder)));
  Vector p = hn::MulAdd(constant(0.0013264720151F), f, constant(0.00967151312734F));
  p = hn::MulAdd(p, f, constant(0.0555073376669F));
  p = hn::MulAdd(p, f, constant(0.240222420747F));
  p = hn::MulAdd(p, f, constant(0.693146977583F));
  p = hn::MulAdd(p, f, constant(1.0F));
  return hn::IfThenZeroElse(hn::Lt(x, constant(-126.0F)), scale_by_power(p, rounded));
}

// x = n log 2 + r with |r| <= log(2) / 2, and p = (e^r - 1 - r) / r^2.
struct ReducedExp {
  Vector rounded, r, p;
};

HWY_INLINE ReducedExp reduce_exp(Vector x) {
  ReducedExp e;
  e.rounded = hn::MulAdd(x, constant(1.44269504F), constant(kRounder));
  const Vector n = hn::Sub(e.rounded, constant(kRounder));
  e.r = hn::NegMulAdd(n, constant(0.693145752F), x);
  e.r = hn::NegMulAdd(n, constant(1.42860677e-6F), e.r);
  e.p = hn::MulAdd(constant(0.00138144626867F), e.r, constant(0.00836878082022F));
  e.p = hn::MulAdd(e.p, e.r, constant(0.0416683943024F));
  e.p = hn::MulAdd(e.p, e.r, constant(0.166665201034F));
  e.p = hn::MulAdd(e.p, e.r, constant(0.49999993412F));
  return e;
}

constexpr float kExpLow = -87.3365F;  // below, the result would not be a normal number
constexpr float kExpHigh = 88.7228F;  // above, infinity

/// e^x; relative error 1.2e-7; 0 where the result would be below the smallest normal number.
HWY_INLINE Vector exp(Vector x) {
  const ReducedExp e = reduce_exp(x);
  const Vector p = hn::MulAdd(hn::MulAdd(e.p, e.r, constant(1.0F)), e.r, constant(1.0F));
  Vector y = scale_by_power(p, e.rounded);
  y = hn::IfThenElse(hn::Gt(x, constant(kExpHigh)), constant(HUGE_VALF), y);
  return hn::IfThenZeroElse(hn::Lt(x, constant(kExpLow)), y);
}

/// e^x - 1 for x <= 0, exact near 0.
HWY_INLINE Vector expm1_negative(Vector x) {
  const Vector clamped = hn::Max(constant(-80.0F), x);
  const ReducedExp e = reduce_exp(clamped);
  const Vector q = hn::MulAdd(hn::Mul(e.p, e.r), e.r, e.r);
  const Vector power = scale_by_power(constant(1.0F), e.rounded);
  return hn::MulAdd(power, q, hn::Sub(power, constant(1.0F)));
}

HWY_INLINE Vector sigmoid(Vector x) {
  return hn::Div(constant(1.0F), hn::Add(constant(1.0F), exp(hn::Neg(x))));
}

/// Relative error 3e-7.
HWY_INLINE Vector tanh(Vector x) {
  const Vector a = hn::Abs(x);
  const Vector e = exp(hn::Mul(a, constant(-2.0F)));
  const Vector large = hn::Div(hn::Sub(constant(1.0F), e), hn::Add(constant(1.0F), e));
  const Vector s = hn::Mul(x, x);
  Vector q = hn::MulAdd(constant(-0.00551516717979F), s, constant(0.0204694234899F));
  q = hn::MulAdd(q, s, constant(-0.0536880244869F));
  q = hn::MulAdd(q, s, constant(0.133308303668F));
  q = hn::MulAdd(q, s, constant(-0.333332598492F));
  const Vector small = hn::MulAdd(hn::Mul(q, s), x, x);
  return hn::IfThenElse(hn::Lt(a, constant(0.625F)), small, hn::CopySign(large, x));
}

/// The normal distribution's tail at a >= 0: Phi(-a), absolute error 3e-8, a capped at 6.
/// Its logarithm is nearly a parabola, so that one polynomial and one power of 2 do.
HWY_INLINE Vector normal_tail(Vector a) {
  Vector p = hn::MulAdd(constant(-2.33493240079e-6F), a, constant(3.37376363136e-5F));
  p = hn::MulAdd(p, a, constant(-0.000161293159738F));
  p = hn::MulAdd(p, a, constant(-0.000191704514691F));
  p = hn::MulAdd(p, a, constant(0.00712686533784F));
  p = hn::MulAdd(p, a, constant(-0.0525336125874F));
  p = hn::MulAdd(p, a, constant(-0.45919828176F));
  p = hn::MulAdd(p, a, constant(-1.15110604192F));
  p = hn::MulAdd(p, a, constant(-1.0F));
  return exp2_negative(p);
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
