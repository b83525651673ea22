// float32 from 8 bits and a scale.
//
// Must read 1 byte an element and write 4; a vector a step, at the speed of the cache that the 4 go to.

#include "mica/kernels/cpu/simd/quantize.h"

#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/quantize.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

template <typename Tag>
HWY_INLINE void step(Tag tag, const int8_t* q, float scale, float* y) {
  const hn::Rebind<int32_t, Tag> whole;
  const hn::Rebind<int8_t, Tag> narrow;
  const auto numbers = hn::ConvertTo(tag, hn::PromoteTo(whole, hn::LoadU(narrow, q)));
  hn::StoreU(hn::Mul(hn::Set(tag, scale), numbers), tag, y);
}

void dequantize_all(const int8_t* q, int64_t size, float scale, float* y) {
  constexpr hn::ScalableTag<float> kTag;
  constexpr int64_t kLanes = hn::MaxLanes(kTag);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) step(kTag, q + i, scale, y + i);
  for (; i < size; ++i) step(hn::CappedTag<float, 1>(), q + i, scale, y + i);
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(dequantize_all);

void dequantize(const int8_t* q, int64_t size, float scale, float* y) {
  HWY_DYNAMIC_DISPATCH(dequantize_all)(q, size, scale, y);
}

}  // namespace mica::cpu::simd
#endif
