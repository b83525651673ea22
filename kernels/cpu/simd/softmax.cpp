// Softmax over rows, and the cross entropy that follows it.
//
// Must read and write each element once and take one power of 2 of it: about 16 operations a vector. Three passes over
// a row (largest, powers with their sum, scale), each on data that the pass before left in L1 or L2.

#include <cmath>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/norm.h"
#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/softmax.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

constexpr float kInfinity = HUGE_VALF;

HWY_INLINE float largest_of(const float* x, int64_t size) {
  Vector m0 = constant(-kInfinity), m1 = m0;
  int64_t i = 0;
  for (; i + 2 * kLanes <= size; i += 2 * kLanes) {
    m0 = hn::Max(m0, hn::LoadU(kTag, x + i));
    m1 = hn::Max(m1, hn::LoadU(kTag, x + i + kLanes));
  }
  if (i + kLanes <= size) {
    m0 = hn::Max(m0, hn::LoadU(kTag, x + i));
    i += kLanes;
  }
  if (i < size) {
    const auto mask = hn::FirstN(kTag, static_cast<size_t>(size - i));
    m1 = hn::Max(m1, hn::IfThenElse(mask, load_part(x + i, size - i), m1));
  }
  return hn::GetLane(hn::MaxOfLanes(kTag, hn::Max(m0, m1)));
}

// y = e^(x - largest), and the sum; y null: the sum alone. Elements beyond the row count nothing.
HWY_INLINE float powers(const float* x, float largest, int64_t size, float* y) {
  const Vector m = constant(largest);
  const Four level = {{m, m, m, m}};
  Four sums = fill<Four>(0.0F);
  int64_t i = 0;
  for (; i + 4 * kLanes <= size; i += 4 * kLanes) {
    const Four e = exp(sub(load_four(x + i), level));
    sums = add(sums, e);
    if (y != nullptr) store_four(e, y + i);
  }
  for (; i < size; i += kLanes) {
    const int64_t n = size - i < kLanes ? size - i : kLanes;
    const auto mask = hn::FirstN(kTag, static_cast<size_t>(n));
    const Vector e = hn::IfThenElseZero(mask, exp(hn::Sub(load(x + i, n), m)));
    sums.v[0] = hn::Add(sums.v[0], e);
    if (y != nullptr) store(e, y + i, n);
  }
  return sum_of(sums);
}

void forward(const float* x, float* y, int64_t rows, int64_t size, bool log) {
  for (; rows > 0; --rows, x += size, y += size) {
    const float largest = largest_of(x, size);
    const float sum = powers(x, largest, size, log ? nullptr : y);
    const float* from = log ? x : y;
    float* to = y;
    if (log) {
      const Vector m = constant(largest), shift = constant(std::log(sum));
      for_vectors(size, [=](int64_t i, int64_t n)
                            HWY_ATTR { store(hn::Sub(hn::Sub(load(from + i, n), m), shift), to + i, n); });
    } else {
      const Vector factor = constant(1 / sum);
      for_vectors(size, [=](int64_t i, int64_t n) HWY_ATTR { store(hn::Mul(load(from + i, n), factor), to + i, n); });
    }
  }
}

void backward(const float* y, const float* dy, float* dx, int64_t rows, int64_t size, bool log) {
  for (; rows > 0; --rows, y += size, dy += size, dx += size) {
    const float *p = y, *g = dy;
    float* to = dx;
    Vector s0 = hn::Zero(kTag), s1 = s0;
    int64_t i = 0;
    const Vector one = constant(1.0F);
    for (; i + 2 * kLanes <= size; i += 2 * kLanes) {
      s0 = hn::MulAdd(hn::LoadU(kTag, g + i), log ? one : hn::LoadU(kTag, p + i), s0);
      s1 = hn::MulAdd(hn::LoadU(kTag, g + i + kLanes), log ? one : hn::LoadU(kTag, p + i + kLanes), s1);
    }
    for (; i < size; i += kLanes) {
      const int64_t n = size - i < kLanes ? size - i : kLanes;
      s0 = hn::MulAdd(load(g + i, n), log ? one : load(p + i, n), s0);
    }
    const Vector sum = constant(sum_of(hn::Add(s0, s1)));
    for_vectors(size, [=](int64_t at, int64_t n) HWY_ATTR {
      const Vector weight = load(p + at, n), gradient = load(g + at, n);
      store(log ? hn::NegMulAdd(exp(weight), sum, gradient) : hn::Mul(weight, hn::Sub(gradient, sum)), to + at, n);
    });
  }
}

// Of a vocabulary's many thousands: parts in float32, which are added in double.
double log_sum(const float* x, int64_t size) {
  constexpr int64_t kPart = 4096;
  const float largest = largest_of(x, size);
  double sum = 0;
  for (int64_t i = 0; i < size; i += kPart) sum += powers(x + i, largest, size - i < kPart ? size - i : kPart, nullptr);
  return largest + std::log(sum);
}

void scaled_powers(const float* x, float level, float factor, float* y, int64_t size) {
  const Vector m = constant(level), f = constant(factor);
  for_vectors(size,
              [=](int64_t i, int64_t n) HWY_ATTR { store(hn::Mul(exp(hn::Sub(load(x + i, n), m)), f), y + i, n); });
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(forward);
HWY_EXPORT(backward);
HWY_EXPORT(log_sum);
HWY_EXPORT(scaled_powers);

namespace {
int64_t row_grain(int64_t size) {
  return size >= 4096 ? 1 : 4096 / (size + 1) + 1;
}
}  // namespace

void softmax(const float* x, float* y, int64_t rows, int64_t size, bool log) {
  parallel_for(rows, row_grain(size), [=](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(forward)(x + begin * size, y + begin * size, end - begin, size, log);
  });
}

void softmax_backward(const float* y, const float* dy, float* dx, int64_t rows, int64_t size, bool log) {
  parallel_for(rows, row_grain(size), [=](int64_t begin, int64_t end) {
    const int64_t at = begin * size;
    HWY_DYNAMIC_DISPATCH(backward)(y + at, dy + at, dx + at, end - begin, size, log);
  });
}

double log_sum_exp(const float* x, int64_t size) {
  return HWY_DYNAMIC_DISPATCH(log_sum)(x, size);
}

void scaled_exp(const float* x, float level, float factor, float* y, int64_t size) {
  HWY_DYNAMIC_DISPATCH(scaled_powers)(x, level, factor, y, size);
}

}  // namespace mica::cpu::simd
#endif
