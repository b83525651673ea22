// Sums over rows.
//
// Must read each element once: 4 bytes an addition, so that the memory is the floor. Four vectors of a row, 256 bytes,
// at a time, whose sums stay in registers; threads share the columns. A sum over many rows keeps its precision by
// blocks.

#include "mica/kernels/cpu/simd/sums.h"

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/sums.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

constexpr int64_t kBlock = 64;

void sum_four(const float* x, int64_t stride, int64_t rows, float* y) {
  Four total = fill<Four>(0.0F);
  for (int64_t first = 0; first < rows; first += kBlock) {
    const int64_t last = first + kBlock < rows ? first + kBlock : rows;
    Four block = fill<Four>(0.0F);
    for (int64_t r = first; r < last; ++r) block = add(block, load_four(x + r * stride));
    total = add(total, block);
  }
  store_four(total, y);
}

void sum_part(const float* x, int64_t stride, int64_t rows, int64_t n, float* y) {
  Vector total = hn::Zero(kTag);
  for (int64_t first = 0; first < rows; first += kBlock) {
    const int64_t last = first + kBlock < rows ? first + kBlock : rows;
    Vector block = hn::Zero(kTag);
    for (int64_t r = first; r < last; ++r) block = hn::Add(block, load(x + r * stride, n));
    total = hn::Add(total, block);
  }
  store(total, y, n);
}

void sum_columns(const float* x, int64_t stride, int64_t rows, int64_t begin, int64_t end, float* y) {
  int64_t i = begin;
  for (; i + 4 * kLanes <= end; i += 4 * kLanes) sum_four(x + i, stride, rows, y + i);
  for (; i < end; i += kLanes) sum_part(x + i, stride, rows, end - i < kLanes ? end - i : kLanes, y + i);
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(sum_columns);

void column_sums(const float* x, int64_t stride, int64_t rows, int64_t columns, float* y) {
  parallel_for(columns, 128, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(sum_columns)(x, stride, rows, begin, end, y);
  });
}

}  // namespace mica::cpu::simd
#endif
