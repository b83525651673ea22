// float32 from 16 bits.
//
// Must read 2 bytes an element and write 4; a vector a step, at the speed of the cache it comes from.

#include "mica/kernels/cpu/simd/stored_weight.h"
#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/widen.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::ScalableTag<float> kTag;

template <typename T>
void widen_all(const T* x, int64_t size, float* y) {
  constexpr int64_t kLanes = hn::MaxLanes(kTag);
  const hn::Rebind<T, decltype(kTag)> half;
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) hn::StoreU(hn::PromoteTo(kTag, hn::LoadU(half, x + i)), kTag, y + i);
  const hn::CappedTag<float, 1> one;
  const hn::Rebind<T, decltype(one)> half_one;
  for (; i < size; ++i) hn::StoreU(hn::PromoteTo(one, hn::LoadU(half_one, x + i)), one, y + i);
}

void widen_bfloat16(const void* x, int64_t size, float* y) {
  widen_all(static_cast<const hwy::bfloat16_t*>(x), size, y);
}

void widen_float16(const void* x, int64_t size, float* y) {
  widen_all(static_cast<const hwy::float16_t*>(x), size, y);
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(widen_bfloat16);
HWY_EXPORT(widen_float16);

void widen(DType dtype, const void* x, int64_t size, float* y) {
  if (dtype == DType::bfloat16) return HWY_DYNAMIC_DISPATCH(widen_bfloat16)(x, size, y);
  HWY_DYNAMIC_DISPATCH(widen_float16)(x, size, y);
}

}  // namespace mica::cpu::simd
#endif
