// Depthwise convolution of float32 rows.
//
// Must read x and write y once, 8 bytes an element, for 2 kernel_size operations; the filters stay in L1. Fast because
// a block of four vectors of channels is summed in registers over all taps, whose rows the last rows have left in L1 or
// L2: memory sees each row once.

#include "mica/kernels/cpu/simd/convolution.h"

#include <algorithm>

#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/convolution.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

void depthwise_rows(const DepthwiseRows& task, int64_t first, int64_t rows) {
  const int64_t channels = task.channels;
  for (int64_t row = first; row < first + rows; ++row) {
    const int64_t from = row - task.before;  // the row of tap 0
    const int64_t tap = std::max<int64_t>(0, task.begin - from);
    const int64_t taps = std::min(task.kernel_size, task.end - from);
    float* y = task.y + row * channels;
    int64_t c = 0;
    for (; c + 4 * kLanes <= channels; c += 4 * kLanes) {
      Four sum = task.bias != nullptr ? load_four(task.bias + c) : fill<Four>(0);
      for (int64_t k = tap; k < taps; ++k) {
        const Four w = load_four(task.weight + k * channels + c), in = load_four(task.x + (from + k) * channels + c);
        sum = each([](Vector a, Vector b, Vector s) HWY_ATTR { return hn::MulAdd(a, b, s); }, w, in, sum);
      }
      store_four(sum, y + c);
    }
    for_vectors(channels - c, [&](int64_t i, int64_t n) HWY_ATTR {
      Vector sum = task.bias != nullptr ? load(task.bias + c + i, n) : constant(0);
      for (int64_t k = tap; k < taps; ++k) {
        const Vector in = load(task.x + (from + k) * channels + c + i, n);
        sum = hn::MulAdd(load(task.weight + k * channels + c + i, n), in, sum);
      }
      store(sum, y + c + i, n);
    });
  }
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(depthwise_rows);

void depthwise(const DepthwiseRows& task, int64_t first, int64_t rows) {
  HWY_DYNAMIC_DISPATCH(depthwise_rows)(task, first, rows);
}

}  // namespace mica::cpu::simd
#endif
