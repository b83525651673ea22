// Steps of attention on rows of scores: masks, softmax, and its gradient.
//
// The rows lie in L1, or in L2 in the backward pass. Must take one power of 2 an element, about 16 operations a vector;
// loads and stores hide behind them.

#include "mica/kernels/cpu/simd/attention_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/attention_rows.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

constexpr float kInfinity = HUGE_VALF;
constexpr float kLog2E = 1.44269504F;

// t = scale * s + bias + slope * (key - position) + mask for the visible keys of a row, -infinity for the others and
// for the columns that fill up the last vector.
HWY_INLINE void prepare_row(const ScoreRows& task, int64_t r, float* row, int64_t first_key, int64_t keys) {
  const KeyRange all = task.visible(r);
  const int64_t hidden_keys = std::clamp<int64_t>(all.begin - first_key, 0, keys);
  const int64_t visible = std::clamp<int64_t>(all.end - first_key, 0, keys);
  const Vector hidden = constant(-kInfinity);
  if (task.prepare) {
    const Vector scale = constant(task.scale);
    const float* bias = task.bias != nullptr ? task.bias + r * task.bias_row + first_key : nullptr;
    const float* mask = task.mask != nullptr ? task.mask + first_key : nullptr;
    const Vector slope = constant(task.slope);
    const int64_t distance = first_key - (task.position + r);
    for_vectors(visible, [=](int64_t i, int64_t n) HWY_ATTR {
      Vector t = hn::Mul(hn::LoadU(kTag, row + i), scale);
      if (bias != nullptr) t = hn::Add(t, load(bias + i, n));
      if (task.slope != 0) t = hn::MulAdd(slope, hn::Iota(kTag, static_cast<float>(distance + i)), t);
      if (mask != nullptr) t = hn::Add(t, load(mask + i, n));
      hn::StoreU(t, kTag, row + i);
    });
  }
  const int64_t end = (keys + kLanes - 1) / kLanes * kLanes;
  // Before the window, then after what is visible; at worst the same vector twice.
  int64_t i = 0;
  for (; i + kLanes <= hidden_keys; i += kLanes) hn::StoreU(hidden, kTag, row + i);
  if (i < hidden_keys) {
    const auto unseen = hn::FirstN(kTag, static_cast<size_t>(hidden_keys - i));
    hn::StoreU(hn::IfThenElse(unseen, hidden, hn::LoadU(kTag, row + i)), kTag, row + i);
  }
  i = visible / kLanes * kLanes;
  if (i < visible) {
    // By whole vectors: a load that spans several narrower stores would wait for them.
    const auto seen = hn::FirstN(kTag, static_cast<size_t>(visible - i));
    hn::StoreU(hn::IfThenElse(seen, hn::LoadU(kTag, row + i), hidden), kTag, row + i);
    i += kLanes;
  }
  for (; i < end; i += kLanes) hn::StoreU(hidden, kTag, row + i);
}

void cap(const ScoreRows& task, float scale, float softcap, int64_t keys, float* s, float* slopes) {
  const auto four = [](float x) HWY_ATTR { return fill<Four>(x); };
  const Four inner = four(scale / softcap), outer = four(softcap), one = four(1.0F);
  const int64_t end = (keys + kLanes - 1) / kLanes * kLanes;
  for (int64_t r = 0; r < task.rows; ++r) {
    float* row = s + r * task.stride;
    float* slope = slopes != nullptr ? slopes + r * task.stride : nullptr;
    int64_t i = 0;
    for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
      const Four t = tanh(mul(load_four(row + i), inner));
      store_four(mul(t, outer), row + i);
      if (slope != nullptr) store_four(neg_mul_add(t, t, one), slope + i);
    }
    for (; i < end; i += kLanes) {
      const Vector t = tanh(mul(hn::LoadU(kTag, row + i), inner.v[0]));
      hn::StoreU(mul(t, outer.v[0]), kTag, row + i);
      if (slope != nullptr) hn::StoreU(neg_mul_add(t, t, one.v[0]), kTag, slope + i);
    }
  }
}

void scores(const ScoreRows& task, float* s, int64_t first_key, int64_t keys, bool first) {
  const int64_t end = (keys + kLanes - 1) / kLanes * kLanes;
  for (int64_t r = 0; r < task.rows; ++r) {
    float* row = s + r * task.stride;
    prepare_row(task, r, row, first_key, keys);
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
    if (!first) {
      const Vector old = constant(task.largest[r] == -kInfinity ? -kInfinity : task.largest[r] - level);
      task.correction[r] = hn::GetLane(exp2_negative(hn::Mul(old, c)));
      task.sum[r] = task.sum[r] * task.correction[r] + sum;
    } else {
      task.sum[r] = sum;
    }
    task.largest[r] = largest;
  }
}

// Beyond it a log sum exp has no room left for the logarithm of the sum, as beside a mask's scores.
constexpr float kCoarse = 65536;

// A row of prepared scores to weights by its own largest and sum, all alike where no key is seen.
void own_weights(const ScoreRows& task, float* row, int64_t keys) {
  float largest = -kInfinity, sum = 0;
  for (int64_t k = 0; k < keys; ++k) largest = std::max(largest, row[k]);
  if (largest == -kInfinity) {
    std::fill_n(row, keys, 1 / static_cast<float>(task.all_keys));
    return;
  }
  const Vector m = constant(largest), c = constant(task.exponent * kLog2E);
  for_vectors(keys, [&](int64_t i, int64_t n)
                        HWY_ATTR { store(exp2_negative(hn::Mul(hn::Sub(load(row + i, n), m), c)), row + i, n); });
  for (int64_t k = 0; k < keys; ++k) sum += row[k];
  for (int64_t k = 0; k < keys; ++k) row[k] /= sum;
}

void weights(const ScoreRows& task, float* s, int64_t first_key, int64_t keys, const float* log_sum_exp) {
  for (int64_t r = 0; r < task.rows; ++r) {
    float* row = s + r * task.stride;
    prepare_row(task, r, row, first_key, keys);
    if (!task.sinks && std::abs(log_sum_exp[r]) > kCoarse) {
      own_weights(task, row, keys);
      continue;
    }
    const Vector exponent = constant(task.exponent), shift = constant(-log_sum_exp[r]), log2e = constant(kLog2E);
    const Four exponent4 = {{exponent, exponent, exponent, exponent}}, shift4 = {{shift, shift, shift, shift}};
    const int64_t end = (keys + kLanes - 1) / kLanes * kLanes;
    int64_t i = 0;
    for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
      const Four t = mul_add(load_four(row + i), exponent4, shift4);
      store_four(exp2_negative(mul(t, Four{{log2e, log2e, log2e, log2e}})), row + i);
    }
    for (; i < end; i += kLanes) {
      const Vector t = mul_add(hn::LoadU(kTag, row + i), exponent, shift);
      hn::StoreU(exp2_negative(mul(t, log2e)), kTag, row + i);
    }
  }
}

void gradient(float* p, float* dp, const float* factors, float total, int64_t keys) {
  const Vector t = constant(total);
  for_vectors(keys, [=](int64_t i, int64_t n) HWY_ATTR {
    const Vector weight = load(p + i, n);
    Vector d = load(dp + i, n);
    if (factors != nullptr) {
      const Vector f = load(factors + i, n);
      d = hn::Mul(d, f);
      store(hn::Mul(weight, f), p + i, n);
    }
    store(hn::Mul(weight, hn::Sub(d, t)), dp + i, n);
  });
}

void multiply(float* x, const float* factors, int64_t count) {
  for_vectors(count,
              [=](int64_t i, int64_t n) HWY_ATTR { store(hn::Mul(load(x + i, n), load(factors + i, n)), x + i, n); });
}

float dot(const float* x, const float* y, int64_t count) {
  Vector sum = hn::Zero(kTag);
  for_vectors(count, [&](int64_t i, int64_t n) HWY_ATTR { sum = hn::MulAdd(load(x + i, n), load(y + i, n), sum); });
  return sum_of(sum);
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
HWY_EXPORT(cap);
HWY_EXPORT(scores);
HWY_EXPORT(scale);
HWY_EXPORT(weights);
HWY_EXPORT(gradient);
HWY_EXPORT(multiply);
HWY_EXPORT(dot);

void cap_rows(const ScoreRows& task, float scale, float softcap, int64_t keys, float* s, float* slopes) {
  HWY_DYNAMIC_DISPATCH(cap)(task, scale, softcap, keys, s, slopes);
}

void score_rows(const ScoreRows& task, float* s, int64_t first_key, int64_t keys, bool first) {
  HWY_DYNAMIC_DISPATCH(scores)(task, s, first_key, keys, first);
}

void scale_rows(float* x, int64_t stride, int64_t rows, int64_t size, const float* factors, float* y, int64_t y_row) {
  HWY_DYNAMIC_DISPATCH(scale)(x, stride, rows, size, factors, y, y_row);
}

void weight_rows(const ScoreRows& task, float* s, int64_t first_key, int64_t keys, const float* log_sum_exp) {
  HWY_DYNAMIC_DISPATCH(weights)(task, s, first_key, keys, log_sum_exp);
}

void score_gradient_row(float* p, float* dp, const float* factors, float total, int64_t keys) {
  HWY_DYNAMIC_DISPATCH(gradient)(p, dp, factors, total, keys);
}

void multiply_row(float* x, const float* factors, int64_t count) {
  HWY_DYNAMIC_DISPATCH(multiply)(x, factors, count);
}

float dot_row(const float* x, const float* y, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(dot)(x, y, count);
}

}  // namespace mica::cpu::simd
#endif
