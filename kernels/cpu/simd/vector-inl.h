// Vectors of one Highway target: whole and partial loads, loops over arrays, and the operations that functions are
// written in, for one vector and for four. Included once per target.

#if defined(MICA_KERNELS_CPU_SIMD_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MICA_KERNELS_CPU_SIMD_VECTOR_INL_H_
#undef MICA_KERNELS_CPU_SIMD_VECTOR_INL_H_
#else
#define MICA_KERNELS_CPU_SIMD_VECTOR_INL_H_
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
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
  return hn::MaskedLoad(hn::FirstN(kTag, static_cast<size_t>(n)), kTag, p);  // touches no masked byte on x86
#else
  HWY_ALIGN float part[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) part[i] = p[i];
  return hn::Load(kTag, part);
#endif
}

HWY_INLINE void store_part(Vector v, float* p, int64_t n) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
  hn::BlendedStore(v, hn::FirstN(kTag, static_cast<size_t>(n)), kTag, p);
#else
  HWY_ALIGN float part[kLanes];
  hn::Store(v, kTag, part);
  for (int64_t i = 0; i < n; ++i) p[i] = part[i];
#endif
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

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
