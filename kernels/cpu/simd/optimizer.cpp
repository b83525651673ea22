// Optimizer steps by the vector.
//
// AdamW must read p, g, m, v and write p, m, v: 28 bytes a parameter, against some ten operations, one of them a square
// root and one a division. Every element is loaded and stored once, in one pass, so that memory is the only limit; the
// four streams lie in order, which is what prefetchers like.

#include "mica/kernels/cpu/simd/optimizer.h"

#include <algorithm>

#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/optimizer.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

void adamw_run(const AdamWStep<float>& step, float* p, const float* g, float* m, float* v, int64_t n) {
  const Vector decay = constant(step.decay), rate = constant(-step.step_size), root = constant(step.inverse_root),
               beta1 = constant(step.beta1), rest1 = constant(step.beta1_rest), beta2 = constant(step.beta2),
               rest2 = constant(step.beta2_rest), eps = constant(step.eps), scale = constant(step.scale);
  for_vectors(n, [=](int64_t i, int64_t k) HWY_ATTR {
    const Vector gradient = mul(load(g + i, k), scale);
    const Vector mean = mul_add(beta1, load(m + i, k), mul(rest1, gradient));
    const Vector variance = mul_add(beta2, load(v + i, k), mul(mul(rest2, gradient), gradient));
    const Vector quotient = div(mean, mul_add(hn::Sqrt(variance), root, eps));
    store(mean, m + i, k);
    store(variance, v + i, k);
    store(mul_add(rate, quotient, mul(load(p + i, k), decay)), p + i, k);
  });
}

void sgd_run(const SgdStep<float>& step, float* p, const float* g, float* buffer, int64_t n) {
  const Vector rate = constant(-step.lr), weight_decay = constant(step.weight_decay),
               momentum = constant(step.momentum), rest = constant(step.dampening_rest), scale = constant(step.scale);
  const bool nesterov = step.nesterov, first = step.first_step;
  for_vectors(n, [=](int64_t i, int64_t k) HWY_ATTR {
    const Vector parameter = load(p + i, k);
    Vector direction = mul_add(weight_decay, parameter, mul(load(g + i, k), scale));
    if (buffer != nullptr) {
      const Vector b = first ? direction : mul_add(momentum, load(buffer + i, k), mul(rest, direction));
      store(b, buffer + i, k);
      direction = nesterov ? mul_add(momentum, b, direction) : b;
    }
    store(mul_add(rate, direction, parameter), p + i, k);
  });
}

void lion_run(const LionStep<float>& step, float* p, const float* g, float* m, int64_t n) {
  const Vector decay = constant(step.decay), rate = constant(-step.lr), beta1 = constant(step.beta1),
               rest1 = constant(step.beta1_rest), beta2 = constant(step.beta2), rest2 = constant(step.beta2_rest),
               scale = constant(step.scale), one = constant(1), minus_one = constant(-1);
  for_vectors(n, [=](int64_t i, int64_t k) HWY_ATTR {
    const Vector gradient = mul(load(g + i, k), scale);
    const Vector mean = load(m + i, k);
    const Vector blend = mul_add(beta1, mean, mul(rest1, gradient));
    const Vector sign = if_greater(blend, 0, one, if_less(blend, 0, minus_one, blend));  // zero and NaN stay
    store(mul_add(rate, sign, mul(load(p + i, k), decay)), p + i, k);
    store(mul_add(beta2, mean, mul(rest2, gradient)), m + i, k);
  });
}

double sum_of_squares_run(const float* x, int64_t n) {
  constexpr hn::ScalableTag<double> kWide;
  constexpr hn::Rebind<float, decltype(kWide)> kNarrow;
  constexpr int64_t kWideLanes = hn::MaxLanes(kWide);
  auto a = hn::Zero(kWide), b = a, c = a, d = a;
  const auto square = [=](const float* from, auto sum) HWY_ATTR {
    const auto v = hn::PromoteTo(kWide, hn::LoadU(kNarrow, from));
    return hn::MulAdd(v, v, sum);
  };
  int64_t i = 0;
  for (; i + 4 * kWideLanes <= n; i += 4 * kWideLanes) {
    a = square(x + i, a);
    b = square(x + i + kWideLanes, b);
    c = square(x + i + 2 * kWideLanes, c);
    d = square(x + i + 3 * kWideLanes, d);
  }
  double sum = hn::GetLane(hn::SumOfLanes(kWide, hn::Add(hn::Add(a, b), hn::Add(c, d))));
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

double add_squares_run(const float* g, float scale, float* column, int64_t n) {
  const Vector s = constant(scale);
  Vector sum = constant(0);
  for_vectors(n, [&](int64_t i, int64_t k) HWY_ATTR {
    const Vector gradient = mul(load(g + i, k), s);
    const Vector square = mul(gradient, gradient);
    store(add(load(column + i, k), square), column + i, k);
    sum = add(sum, square);
  });
  return static_cast<double>(sum_of(sum));
}

double sum_of_products_run(const float* g, const float* inverse, int64_t n) {
  Vector sum = constant(0);
  for_vectors(n, [&](int64_t i, int64_t k) HWY_ATTR {
    const Vector u = mul(load(g + i, k), load(inverse + i, k));
    sum = mul_add(u, u, sum);
  });
  return static_cast<double>(sum_of(sum));
}

double second_moment_run(const float* g, float scale, float beta2, float beta2_rest, float eps, float* v, int64_t n) {
  const Vector s = constant(scale), b = constant(beta2), rest = constant(beta2_rest), e = constant(eps);
  Vector sum = constant(0);
  for_vectors(n, [&](int64_t i, int64_t k) HWY_ATTR {
    const Vector gradient = mul(load(g + i, k), s);
    const Vector square = mul(gradient, gradient);
    const Vector variance = mul_add(b, load(v + i, k), mul(rest, add(square, e)));
    store(variance, v + i, k);
    // Lanes beyond the end hold 0 / (rest eps), which is 0 as well, unless eps is: then they are left out.
    Vector part = div(square, variance);
    if (k < kLanes) part = hn::IfThenElseZero(hn::FirstN(kTag, static_cast<size_t>(k)), part);
    sum = add(sum, part);
  });
  return static_cast<double>(sum_of(sum));
}

HWY_INLINE void descend(const AdafactorStep<float>& step, Vector u, float* p, float* m, int64_t i, int64_t k) {
  if (m != nullptr) {
    u = mul_add(constant(step.beta1), load(m + i, k), mul(constant(step.beta1_rest), u));
    store(u, m + i, k);
  }
  store(sub(mul(load(p + i, k), constant(step.decay)), u), p + i, k);
}

void adafactor_factored_run(const AdafactorStep<float>& step, float* p, const float* g, const float* inverse, float* m,
                            int64_t n) {
  const Vector factor = constant(step.factor);
  for_vectors(n, [&](int64_t i, int64_t k)
                     HWY_ATTR { descend(step, mul(mul(load(g + i, k), load(inverse + i, k)), factor), p, m, i, k); });
}

void adafactor_run(const AdafactorStep<float>& step, float* p, const float* g, const float* v, float* m, int64_t n) {
  const Vector factor = constant(step.factor);
  for_vectors(n, [&](int64_t i, int64_t k) HWY_ATTR {
    descend(step, div(mul(load(g + i, k), factor), hn::Sqrt(load(v + i, k))), p, m, i, k);
  });
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(adamw_run);
HWY_EXPORT(sgd_run);
HWY_EXPORT(lion_run);
HWY_EXPORT(sum_of_squares_run);
HWY_EXPORT(add_squares_run);
HWY_EXPORT(sum_of_products_run);
HWY_EXPORT(second_moment_run);
HWY_EXPORT(adafactor_factored_run);
HWY_EXPORT(adafactor_run);

void adamw(const AdamWStep<float>& step, float* p, const float* g, float* m, float* v, int64_t n) {
  HWY_DYNAMIC_DISPATCH(adamw_run)(step, p, g, m, v, n);
}

void sgd(const SgdStep<float>& step, float* p, const float* g, float* buffer, int64_t n) {
  HWY_DYNAMIC_DISPATCH(sgd_run)(step, p, g, buffer, n);
}

void lion(const LionStep<float>& step, float* p, const float* g, float* m, int64_t n) {
  HWY_DYNAMIC_DISPATCH(lion_run)(step, p, g, m, n);
}

double sum_of_squares(const float* x, int64_t n) {
  return HWY_DYNAMIC_DISPATCH(sum_of_squares_run)(x, n);
}

double add_squares(const float* g, float scale, float* column, int64_t n) {
  return HWY_DYNAMIC_DISPATCH(add_squares_run)(g, scale, column, n);
}

double sum_of_products(const float* g, const float* inverse, int64_t n) {
  return HWY_DYNAMIC_DISPATCH(sum_of_products_run)(g, inverse, n);
}

double second_moment(const float* g, float scale, float beta2, float beta2_rest, float eps, float* v, int64_t n) {
  return HWY_DYNAMIC_DISPATCH(second_moment_run)(g, scale, beta2, beta2_rest, eps, v, n);
}

void adafactor_factored(const AdafactorStep<float>& step, float* p, const float* g, const float* inverse, float* m,
                        int64_t n) {
  HWY_DYNAMIC_DISPATCH(adafactor_factored_run)(step, p, g, inverse, m, n);
}

void adafactor(const AdafactorStep<float>& step, float* p, const float* g, const float* v, float* m, int64_t n) {
  HWY_DYNAMIC_DISPATCH(adafactor_run)(step, p, g, v, m, n);
}

}  // namespace mica::cpu::simd
#endif
