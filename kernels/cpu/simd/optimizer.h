#pragma once
// Steps of optimizers over runs of float32, on the calling thread. The formulas stand in kernels/optimizer.h; `scale`
// is the gradient_scale there.

#include <cstdint>

namespace mica::cpu::simd {

template <typename T>
struct AdamWStep {
  T decay;         ///< 1 - lr weight_decay
  T step_size;     ///< lr / (1 - beta1^t)
  T inverse_root;  ///< 1 / sqrt(1 - beta2^t)
  T beta1, beta1_rest, beta2, beta2_rest, eps, scale;
};

template <typename T>
struct SgdStep {
  T lr, weight_decay, momentum, dampening_rest, scale;
  bool nesterov, first_step;
};

template <typename T>
struct LionStep {
  T decay, lr, beta1, beta1_rest, beta2, beta2_rest, scale;
};

/// p = decay p - u with u = factor g / denominator; through m first, where there is one: m = beta1 m + beta1_rest u.
template <typename T>
struct AdafactorStep {
  T decay, factor, beta1, beta1_rest;
};

void adamw(const AdamWStep<float>& step, float* p, const float* g, float* m, float* v, int64_t n);
/// buffer: null without momentum.
void sgd(const SgdStep<float>& step, float* p, const float* g, float* buffer, int64_t n);
void lion(const LionStep<float>& step, float* p, const float* g, float* m, int64_t n);

double sum_of_squares(const float* x, int64_t n);

// Adafactor's passes.

/// column[i] += (scale g[i])^2; returns the sum of the squares.
double add_squares(const float* g, float scale, float* column, int64_t n);
/// Sum of (g[i] inverse[i])^2.
double sum_of_products(const float* g, const float* inverse, int64_t n);
/// v = beta2 v + beta2_rest ((scale g)^2 + eps); returns the sum of (scale g)^2 / v.
double second_moment(const float* g, float scale, float beta2, float beta2_rest, float eps, float* v, int64_t n);
/// As AdafactorStep says, with g[i] inverse[i] for the quotient; m: null for none.
void adafactor_factored(const AdafactorStep<float>& step, float* p, const float* g, const float* inverse, float* m,
                        int64_t n);
/// With g[i] / sqrt(v[i]).
void adafactor(const AdafactorStep<float>& step, float* p, const float* g, const float* v, float* m, int64_t n);

}  // namespace mica::cpu::simd
