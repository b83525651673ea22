// Layer norm over rows, forward and backward.
//
// Must read x (and the residual) and write y: 8 to 12 bytes an element; three passes over a row that stays in L1
// between them (sum, squared deviations, result), each with four independent accumulators that hide the latency of an
// addition. The order of summation depends on the row's length alone.

#include "mica/kernels/cpu/simd/norm.h"

#include <cmath>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/scratch.h"
#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/norm.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

float row_sum(const float* x, int64_t size) {
  Vector s0 = hn::Zero(kTag), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * kLanes <= size; i += 4 * kLanes) {
    s0 = hn::Add(s0, hn::LoadU(kTag, x + i));
    s1 = hn::Add(s1, hn::LoadU(kTag, x + i + kLanes));
    s2 = hn::Add(s2, hn::LoadU(kTag, x + i + 2 * kLanes));
    s3 = hn::Add(s3, hn::LoadU(kTag, x + i + 3 * kLanes));
  }
  for (; i + kLanes <= size; i += kLanes) s0 = hn::Add(s0, hn::LoadU(kTag, x + i));
  if (i < size) s1 = hn::Add(s1, load_part(x + i, size - i));
  return sum_of(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

float row_squares(const float* x, float mean, int64_t size) {
  const Vector m = constant(mean);
  Vector s0 = hn::Zero(kTag), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * kLanes <= size; i += 4 * kLanes) {
    const Vector d0 = hn::Sub(hn::LoadU(kTag, x + i), m), d1 = hn::Sub(hn::LoadU(kTag, x + i + kLanes), m);
    const Vector d2 = hn::Sub(hn::LoadU(kTag, x + i + 2 * kLanes), m);
    const Vector d3 = hn::Sub(hn::LoadU(kTag, x + i + 3 * kLanes), m);
    s0 = hn::MulAdd(d0, d0, s0);
    s1 = hn::MulAdd(d1, d1, s1);
    s2 = hn::MulAdd(d2, d2, s2);
    s3 = hn::MulAdd(d3, d3, s3);
  }
  for (; i + kLanes <= size; i += kLanes) {
    const Vector d = hn::Sub(hn::LoadU(kTag, x + i), m);
    s0 = hn::MulAdd(d, d, s0);
  }
  if (i < size) {
    const int64_t n = size - i;
    const Vector d = hn::IfThenElseZero(hn::FirstN(kTag, static_cast<size_t>(n)), hn::Sub(load_part(x + i, n), m));
    s1 = hn::MulAdd(d, d, s1);
  }
  return sum_of(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

void norm_rows(const LayerNorm& task, int64_t begin, int64_t end) {
  const int64_t size = task.size;
  for (int64_t row = begin; row < end; ++row) {
    const float* x = task.x + row * task.x_row;
    float* y = task.y + row * task.y_row;
    if (task.residual != nullptr) {
      const float* residual = task.residual + row * task.residual_row;
      // y holds the sum until the last pass when nobody wants to keep it.
      float* sum = task.sum != nullptr ? task.sum + row * task.sum_row : y;
      for_vectors(size, [=](int64_t i, int64_t n)
                            HWY_ATTR { store(hn::Add(load(x + i, n), load(residual + i, n)), sum + i, n); });
      x = sum;
    } else if (task.sum != nullptr) {
      float* sum = task.sum + row * task.sum_row;
      if (sum != x) for_vectors(size, [=](int64_t i, int64_t n) HWY_ATTR { store(load(x + i, n), sum + i, n); });
      x = sum;
    }
    const auto count = static_cast<float>(size);
    const float mean = row_sum(x, size) / count;
    const float rstd = 1 / std::sqrt(row_squares(x, mean, size) / count + task.epsilon);
    const Vector m = constant(mean), s = constant(rstd);
    const float *weight = task.weight, *bias = task.bias;
    for_vectors(size, [=](int64_t i, int64_t n) HWY_ATTR {
      const Vector centred = hn::Mul(hn::Sub(load(x + i, n), m), s);
      const Vector b = bias != nullptr ? load(bias + i, n) : hn::Zero(kTag);
      store(hn::MulAdd(centred, load(weight + i, n), b), y + i, n);
    });
    if (task.mean != nullptr) task.mean[row] = mean;
    if (task.rstd != nullptr) task.rstd[row] = rstd;
  }
}

void backward_rows(const LayerNormBackward& task, int64_t begin, int64_t end) {
  const int64_t size = task.size;
  const auto count = static_cast<float>(size);
  for (int64_t row = begin; row < end; ++row) {
    const float* dy = task.dy + row * size;
    const float* x = task.sum + row * size;
    float* ds = task.ds + row * size;
    const Vector m = constant(task.mean[row]), s = constant(task.rstd[row]);
    const float* weight = task.weight;
    Vector g_sum = hn::Zero(kTag), gx_sum = hn::Zero(kTag);
    for_vectors(size, [&](int64_t i, int64_t n) HWY_ATTR {
      const Vector g = hn::Mul(load(dy + i, n), load(weight + i, n));
      g_sum = hn::Add(g_sum, g);
      gx_sum = hn::MulAdd(g, hn::Mul(hn::Sub(load(x + i, n), m), s), gx_sum);
    });
    const Vector g_mean = constant(sum_of(g_sum) / count), gx_mean = constant(sum_of(gx_sum) / count);
    for_vectors(size, [=](int64_t i, int64_t n) HWY_ATTR {
      const Vector g = hn::Mul(load(dy + i, n), load(weight + i, n));
      const Vector centred = hn::Mul(hn::Sub(load(x + i, n), m), s);
      store(hn::Mul(s, hn::NegMulAdd(centred, gx_mean, hn::Sub(g, g_mean))), ds + i, n);
    });
  }
}

// Sums over the rows for the columns [begin, end): rows in blocks, so that a sum over many rows keeps its precision.
void backward_columns(const LayerNormBackward& task, int64_t rows, int64_t begin, int64_t end) {
  constexpr int64_t kBlock = 64;
  for_vectors(end - begin, [&](int64_t i, int64_t n) HWY_ATTR {
    const float* dy = task.dy + begin + i;
    const float* x = task.sum + begin + i;
    Vector dw = hn::Zero(kTag), db = hn::Zero(kTag);
    for (int64_t first = 0; first < rows; first += kBlock) {
      const int64_t last = first + kBlock < rows ? first + kBlock : rows;
      Vector block_dw = hn::Zero(kTag), block_db = hn::Zero(kTag);
      for (int64_t row = first; row < last; ++row) {
        const Vector d = load(dy + row * task.size, n);
        const Vector centred =
            hn::Mul(hn::Sub(load(x + row * task.size, n), constant(task.mean[row])), constant(task.rstd[row]));
        block_db = hn::Add(block_db, d);
        block_dw = hn::MulAdd(d, centred, block_dw);
      }
      dw = hn::Add(dw, block_dw);
      db = hn::Add(db, block_db);
    }
    if (task.dweight != nullptr) store(dw, task.dweight + begin + i, n);
    if (task.dbias != nullptr) store(db, task.dbias + begin + i, n);
  });
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(norm_rows);
HWY_EXPORT(backward_rows);
HWY_EXPORT(backward_columns);

namespace {
constexpr int64_t kGrain = 8192;  // elements worth waking a thread for

int64_t row_grain(int64_t size) {
  return size >= kGrain ? 1 : kGrain / (size + 1) + 1;
}
}  // namespace

void layer_norm_rows(const LayerNorm& norm, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(norm_rows)(norm, begin, end);
}

void layer_norm(const LayerNorm& norm, int64_t rows) {
  parallel_for(rows, row_grain(norm.size), [&](int64_t begin, int64_t end) { layer_norm_rows(norm, begin, end); });
}

void layer_norm_backward(const LayerNormBackward& norm, int64_t rows) {
  if (norm.dweight != nullptr || norm.dbias != nullptr) {
    parallel_for(norm.size, 64, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(backward_columns)(norm, rows, begin, end);
    });
  }
  if (norm.ds == nullptr) return;
  parallel_for(rows, row_grain(norm.size), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(backward_rows)(norm, begin, end);
  });
}

}  // namespace mica::cpu::simd
#endif
