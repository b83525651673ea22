// Softmax over rows, and the softmax step of attention.
//
// Must read and write each element once and take one power of 2 of it: about 16 operations a vector. Three passes over
// a row (largest, powers with their sum, scale), each on data that the pass before left in L1 or L2.

#include <cmath>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/attention_rows.h"
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
constexpr float kLog2E = 1.44269504F;

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

void scores(const ScoreRows& task, float* s, int64_t first_key, int64_t keys) {
  for (int64_t r = 0; r < task.rows; ++r) {
    float* row = s + r * task.stride;
    const int64_t visible = task.visible(r) - first_key < keys ? task.visible(r) - first_key : keys;
    if (task.prepare) {
      const Vector scale = constant(task.scale);
      const float* bias = task.bias != nullptr ? task.bias + r * task.bias_row + first_key : nullptr;
      const float* mask = task.mask != nullptr ? task.mask + first_key : nullptr;
      for_vectors(visible > 0 ? visible : 0, [=](int64_t i, int64_t n) HWY_ATTR {
        Vector t = hn::Mul(hn::LoadU(kTag, row + i), scale);
        if (bias != nullptr) t = hn::Add(t, load(bias + i, n));
        if (mask != nullptr) t = hn::Add(t, load(mask + i, n));
        hn::StoreU(t, kTag, row + i);
      });
    }
    // Hidden keys, and the columns that fill up the last vector.
    const int64_t end = (keys + kLanes - 1) / kLanes * kLanes;
    for (int64_t i = visible > 0 ? visible : 0; i < end; ++i) row[i] = -kInfinity;

    Vector m0 = constant(task.largest[r]), m1 = m0;
    int64_t i = 0;
    for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
      m0 = hn::Max(m0, hn::LoadU(kTag, row + i));
      m1 = hn::Max(m1, hn::LoadU(kTag, row + i + kLanes));
    }
    if (i < end) m0 = hn::Max(m0, hn::LoadU(kTag, row + i));
    const float largest = hn::GetLane(hn::MaxOfLanes(kTag, hn::Max(m0, m1)));
    // Nothing visible so far: any finite number makes all weights zero.
    const float level = largest == -kInfinity ? 0 : largest;
    const Vector m = constant(level), c = constant(task.exponent * kLog2E);
    const Four m4 = {{m, m, m, m}}, c4 = {{c, c, c, c}};
    Four sums = fill<Four>(0.0F);
    for (i = 0; i + 4 * kLanes <= end; i += 4 * kLanes) {
      const Four e = exp2_negative(mul(sub(load_four(row + i), m4), c4));
      sums = add(sums, e);
      store_four(e, row + i);
    }
    for (; i < end; i += kLanes) {
      const Vector e = exp2_negative(hn::Mul(hn::Sub(hn::LoadU(kTag, row + i), m), c));
      sums.v[0] = hn::Add(sums.v[0], e);
      hn::StoreU(e, kTag, row + i);
    }
    const float sum = sum_of(sums);
    if (first_key > 0) {
      const Vector old = constant(task.largest[r] == -kInfinity ? -kInfinity : task.largest[r] - level);
      task.correction[r] = hn::GetLane(exp2_negative(hn::Mul(old, c)));
      task.sum[r] = task.sum[r] * task.correction[r] + sum;
    } else {
      task.sum[r] = sum;
    }
    task.largest[r] = largest;
  }
}

void scale(float* x, int64_t stride, int64_t rows, int64_t size, const float* factors, float* y, int64_t y_row) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = x + r * stride;
    float* to = y + r * y_row;
    const Vector factor = constant(factors[r]);
    for_vectors(size, [=](int64_t i, int64_t n) HWY_ATTR { store(hn::Mul(load(from + i, n), factor), to + i, n); });
  }
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(forward);
HWY_EXPORT(backward);
HWY_EXPORT(scores);
HWY_EXPORT(scale);

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

void score_rows(const ScoreRows& task, float* s, int64_t first_key, int64_t keys) {
  HWY_DYNAMIC_DISPATCH(scores)(task, s, first_key, keys);
}

void scale_rows(float* x, int64_t stride, int64_t rows, int64_t size, const float* factors, float* y, int64_t y_row) {
  HWY_DYNAMIC_DISPATCH(scale)(x, stride, rows, size, factors, y, y_row);
}

}  // namespace mica::cpu::simd
#endif
