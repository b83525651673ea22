// The clamped SwiGLU over rows, forward and backward.
//
// Must read gate and up and write y once, 12 bytes an element (20 in the backward), and is bound by the exponential and
// the division of its sigmoid. Fast where gate and up are the even and odd columns of one product, as they are
// published: an interleaved load takes them apart in two shuffles. Other strides go through a buffer, element by
// element.

#include "mica/kernels/cpu/simd/swiglu.h"

#include <cmath>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/swiglu.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

HWY_INLINE Vector load_spread(const float* p, int64_t step, int64_t n) {
  if (step == 1) return load(p, n);
  HWY_ALIGN float part[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) part[i] = p[i * step];
  return hn::Load(kTag, part);
}

HWY_INLINE void store_spread(Vector v, float* p, int64_t step, int64_t n) {
  if (step == 1) return store(v, p, n);
  HWY_ALIGN float part[kLanes];
  hn::Store(v, kTag, part);
  for (int64_t i = 0; i < n; ++i) p[i * step] = part[i];
}

// Whether b's elements lie behind a's, one by one.
HWY_INLINE bool neighbours(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_row,
                           int64_t b_step) {
  return a_step == 2 && b_step == 2 && b == a + 1 && a_row == b_row;
}

struct Operands {
  Vector gate, up;  // as they are
  Vector g, u;      // clamped
};

HWY_INLINE Operands load_operands(const ClampedSwiglu& task, bool interleaved, int64_t row, int64_t i, int64_t n) {
  const float* gate = task.gate + row * task.gate_row + i * task.gate_step;
  Operands x;
  if (interleaved && n == kLanes) {
    hn::LoadInterleaved2(kTag, gate, x.gate, x.up);
  } else {
    x.gate = load_spread(gate, task.gate_step, n);
    x.up = load_spread(task.up + row * task.up_row + i * task.up_step, task.up_step, n);
  }
  x.g = at_most(task.limit, x.gate);
  x.u = at_least(-task.limit, at_most(task.limit, x.up));
  return x;
}

void forward_rows(const ClampedSwiglu& task, int64_t begin, int64_t end) {
  const bool interleaved = neighbours(task.gate, task.gate_row, task.gate_step, task.up, task.up_row, task.up_step);
  const Vector alpha = constant(-task.alpha), one = constant(1);
  for (int64_t row = begin; row < end; ++row) {
    float* y = task.y + row * task.size;
    for_vectors(task.size, [&](int64_t i, int64_t n) HWY_ATTR {
      const Operands x = load_operands(task, interleaved, row, i, n);
      const Vector swish = hn::Div(x.g, hn::Add(one, exp(hn::Mul(alpha, x.g))));
      store(hn::Mul(hn::Add(x.u, one), swish), y + i, n);
    });
  }
}

void backward_rows(const ClampedSwiglu& task, int64_t begin, int64_t end) {
  const bool interleaved = neighbours(task.gate, task.gate_row, task.gate_step, task.up, task.up_row, task.up_step);
  const bool interleaved_gradient =
      neighbours(task.dgate, task.dgate_row, task.dgate_step, task.dup, task.dup_row, task.dup_step);
  const Vector alpha = constant(task.alpha), one = constant(1);
  for (int64_t row = begin; row < end; ++row) {
    const float* dy = task.dy + row * task.size;
    for_vectors(task.size, [&](int64_t i, int64_t n) HWY_ATTR {
      const Operands x = load_operands(task, interleaved, row, i, n);
      const Vector d = load(dy + i, n);
      const Vector z = hn::Mul(alpha, x.g);
      const SigmoidPair<Vector> s = sigmoid_pair(z);
      const Vector slope = hn::Mul(s.value, hn::MulAdd(z, s.complement, one));
      const Vector dgate =
          if_greater(x.gate, task.limit, hn::Zero(kTag), hn::Mul(hn::Mul(d, hn::Add(x.u, one)), slope));
      const Vector dup = if_greater(hn::Abs(x.up), task.limit, hn::Zero(kTag), hn::Mul(d, hn::Mul(x.g, s.value)));
      float* to = task.dgate + row * task.dgate_row + i * task.dgate_step;
      if (interleaved_gradient && n == kLanes) {
        hn::StoreInterleaved2(dgate, dup, kTag, to);
      } else {
        store_spread(dgate, to, task.dgate_step, n);
        store_spread(dup, task.dup + row * task.dup_row + i * task.dup_step, task.dup_step, n);
      }
    });
  }
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(forward_rows);
HWY_EXPORT(backward_rows);

namespace {
int64_t row_grain(int64_t size) {
  return 8192 / (size + 1) + 1;  // 8192 elements are worth waking a thread for
}
}  // namespace

void clamped_swiglu(const ClampedSwiglu& task, int64_t rows) {
  parallel_for(rows, row_grain(task.size), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(forward_rows)(task, begin, end);
  });
}

void clamped_swiglu_backward(const ClampedSwiglu& task, int64_t rows) {
  parallel_for(rows, row_grain(task.size), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(backward_rows)(task, begin, end);
  });
}

}  // namespace mica::cpu::simd
#endif
