// RMS norm over vectors of size elements, forward and backward.
//
// Must read x and write y: 8 bytes an element (the backward 12, and 8 more for the weight's gradient); two passes over
// a vector that stays in L1 between them (sum of squares, result), the first with four independent accumulators that
// hide the latency of a multiply-add. The order of summation depends on the vector's length alone.

#include <cmath>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/norm.h"
#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/rms_norm.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

float sum_of_squares(const float* x, int64_t size) {
  Vector s0 = hn::Zero(kTag), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * kLanes <= size; i += 4 * kLanes) {
    const Four v = load_four(x + i);
    s0 = hn::MulAdd(v.v[0], v.v[0], s0);
    s1 = hn::MulAdd(v.v[1], v.v[1], s1);
    s2 = hn::MulAdd(v.v[2], v.v[2], s2);
    s3 = hn::MulAdd(v.v[3], v.v[3], s3);
  }
  for (; i < size; i += kLanes) {
    const Vector v = load(x + i, size - i < kLanes ? size - i : kLanes);
    s0 = hn::MulAdd(v, v, s0);
  }
  return sum_of(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

void norm_vectors(const RmsNorm& task, int64_t begin, int64_t end) {
  const int64_t size = task.size;
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t head = 0; head < task.heads; ++head) {
      const int64_t vector = row * task.heads + head;
      const float* x = task.x + row * task.x_row + head * task.x_head;
      const float* factor = task.factor;
      float* y = task.y + vector * size;
      const float rstd = 1 / std::sqrt(sum_of_squares(x, size) / static_cast<float>(size) + task.epsilon);
      const Vector s = constant(rstd);
      for_vectors(size, [=](int64_t i, int64_t n)
                            HWY_ATTR { store(hn::Mul(hn::Mul(load(x + i, n), s), load(factor + i, n)), y + i, n); });
      if (task.rstd != nullptr) task.rstd[vector] = rstd;
    }
  }
}

void backward_vectors(const RmsNormBackward& task, int64_t begin, int64_t end) {
  const int64_t size = task.size;
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t head = 0; head < task.heads; ++head) {
      const int64_t vector = row * task.heads + head;
      const float* x = task.x + row * task.x_row + head * task.x_head;
      const float* dy = task.dy + vector * size;
      const float* factor = task.factor;
      float* dx = task.dx + vector * size;
      const Vector s = constant(task.rstd[vector]);
      Vector products = hn::Zero(kTag);
      for_vectors(size, [&](int64_t i, int64_t n) HWY_ATTR {
        const Vector g = hn::Mul(load(dy + i, n), load(factor + i, n));
        products = hn::MulAdd(g, hn::Mul(load(x + i, n), s), products);
      });
      const Vector mean = constant(sum_of(products) / static_cast<float>(size));
      for_vectors(size, [=](int64_t i, int64_t n) HWY_ATTR {
        const Vector g = hn::Mul(load(dy + i, n), load(factor + i, n));
        store(hn::Mul(s, hn::NegMulAdd(hn::Mul(load(x + i, n), s), mean, g)), dx + i, n);
      });
    }
  }
}

// Sums over all vectors for the columns [begin, end), in blocks of rows, so that a sum over many keeps its precision.
void backward_columns(const RmsNormBackward& task, int64_t rows, int64_t begin, int64_t end) {
  const int64_t block_rows = task.heads > 0 && task.heads < 64 ? 64 / task.heads : 1;
  for_vectors(end - begin, [&](int64_t i, int64_t n) HWY_ATTR {
    const float* dy = task.dy + begin + i;
    const float* x = task.x + begin + i;
    Vector dw = hn::Zero(kTag);
    for (int64_t first = 0; first < rows; first += block_rows) {
      const int64_t last = first + block_rows < rows ? first + block_rows : rows;
      Vector block = hn::Zero(kTag);
      for (int64_t row = first; row < last; ++row) {
        for (int64_t head = 0; head < task.heads; ++head) {
          const int64_t vector = row * task.heads + head;
          const Vector normal =
              hn::Mul(load(x + row * task.x_row + head * task.x_head, n), constant(task.rstd[vector]));
          block = hn::MulAdd(load(dy + vector * task.size, n), normal, block);
        }
      }
      dw = hn::Add(dw, block);
    }
    store(dw, task.dweight + begin + i, n);
  });
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(norm_vectors);
HWY_EXPORT(backward_vectors);
HWY_EXPORT(backward_columns);

namespace {
constexpr int64_t kGrain = 8192;  // elements worth waking a thread for

int64_t row_grain(int64_t size) {
  return kGrain / (size + 1) + 1;
}
}  // namespace

void rms_norm(const RmsNorm& norm, int64_t rows) {
  parallel_for(rows, row_grain(norm.heads * norm.size), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(norm_vectors)(norm, begin, end);
  });
}

void rms_norm_backward(const RmsNormBackward& norm, int64_t rows) {
  if (norm.dweight != nullptr) {
    parallel_for(norm.size, 64, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(backward_columns)(norm, rows, begin, end);
    });
  }
  if (norm.dx == nullptr) return;
  parallel_for(rows, row_grain(norm.heads * norm.size), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(backward_vectors)(norm, begin, end);
  });
}

}  // namespace mica::cpu::simd
#endif
