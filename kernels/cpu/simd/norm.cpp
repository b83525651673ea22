// Layer norm over rows, forward and backward, with the dropout and the residual before it.
//
// Must read x (and the residual) and write y: 8 to 12 bytes an element; three passes over a row that stays in L1
// between them (sum, squared deviations, result), each with four independent accumulators that hide the latency of an
// addition. The order of summation depends on the row's length alone.
// Backward, a row is read once too: what it gives to the gradients of weight and bias is added up in L1 while its sums
// are made, in blocks of 64 rows, whose sums are added in their order, whatever the number of threads.

#include "mica/kernels/cpu/simd/norm.h"

#include <algorithm>
#include <cmath>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/random.h"
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
    if (task.dropout.p > 0) {
      float* sum = task.sum + row * task.sum_row;
      drop_elements(task.dropout, static_cast<uint64_t>(row * size), x,
                    task.residual != nullptr ? task.residual + row * task.residual_row : nullptr, sum, size);
      x = sum;
    } else if (task.residual != nullptr) {
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

// The rows [begin, end): their ds and dx; dw and db [size], unless null, get their sums of dy xhat and of dy.
void backward_rows(const LayerNormBackward& task, int64_t begin, int64_t end, float* dw, float* db) {
  const int64_t size = task.size;
  const auto count = static_cast<float>(size);
  if (dw != nullptr) {
    std::fill_n(dw, size, 0.0F);
    std::fill_n(db, size, 0.0F);
  }
  for (int64_t row = begin; row < end; ++row) {
    const float* dy = task.dy + row * size;
    const float* x = task.sum + row * size;
    const Vector m = constant(task.mean[row]), s = constant(task.rstd[row]);
    const float* weight = task.weight;
    Vector g_sum = hn::Zero(kTag), gx_sum = hn::Zero(kTag);
    for_vectors(size, [&](int64_t i, int64_t n) HWY_ATTR {
      const Vector d = load(dy + i, n), g = hn::Mul(d, load(weight + i, n));
      const Vector centred = hn::Mul(hn::Sub(load(x + i, n), m), s);
      g_sum = hn::Add(g_sum, g);
      gx_sum = hn::MulAdd(g, centred, gx_sum);
      if (dw != nullptr) {
        store(hn::MulAdd(d, centred, load(dw + i, n)), dw + i, n);
        store(hn::Add(load(db + i, n), d), db + i, n);
      }
    });
    if (task.ds == nullptr) continue;
    float* ds = task.ds + row * size;
    const float* other = task.dsum != nullptr ? task.dsum + row * size : nullptr;
    const Vector g_mean = constant(sum_of(g_sum) / count), gx_mean = constant(sum_of(gx_sum) / count);
    for_vectors(size, [=](int64_t i, int64_t n) HWY_ATTR {
      const Vector g = hn::Mul(load(dy + i, n), load(weight + i, n));
      const Vector centred = hn::Mul(hn::Sub(load(x + i, n), m), s);
      const Vector own = hn::Mul(s, hn::NegMulAdd(centred, gx_mean, hn::Sub(g, g_mean)));
      store(other != nullptr ? hn::Add(own, load(other + i, n)) : own, ds + i, n);
    });
    if (task.dx != nullptr)
      drop_elements(task.dropout, static_cast<uint64_t>(row * size), ds, nullptr, task.dx + row * size, size);
  }
}

// to[i] = the sum of parts[p * stride + i] in the order of p.
void add_parts(const float* parts, int64_t count, int64_t stride, float* to, int64_t size) {
  for_vectors(size, [=](int64_t i, int64_t n) HWY_ATTR {
    Vector total = hn::Zero(kTag);
    for (int64_t p = 0; p < count; ++p) total = hn::Add(total, load(parts + p * stride + i, n));
    store(total, to + i, n);
  });
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(norm_rows);
HWY_EXPORT(backward_rows);
HWY_EXPORT(add_parts);

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
  constexpr int64_t kBlock = 64;
  const int64_t blocks = (rows + kBlock - 1) / kBlock, size = norm.size;
  const bool parameters = norm.dweight != nullptr || norm.dbias != nullptr;
  float* parts = parameters ? scratch(Scratch::partials, 2 * blocks * size) : nullptr;
  parallel_for(blocks, kGrain / (kBlock * size + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      float* dw = parameters ? parts + 2 * block * size : nullptr;
      HWY_DYNAMIC_DISPATCH(backward_rows)
      (norm, block * kBlock, std::min(rows, (block + 1) * kBlock), dw, parameters ? dw + size : nullptr);
    }
  });
  if (norm.dweight != nullptr) HWY_DYNAMIC_DISPATCH(add_parts)(parts, blocks, 2 * size, norm.dweight, size);
  if (norm.dbias != nullptr) HWY_DYNAMIC_DISPATCH(add_parts)(parts + size, blocks, 2 * size, norm.dbias, size);
}

}  // namespace mica::cpu::simd
#endif
