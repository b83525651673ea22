// Activations on arrays, and the epilogue of a product's tile.
//
// Must read and write each element once (8 bytes an element; a tile of sums lies in L1). Fast because everything is
// done on whole vectors without a branch: exact GELU takes 8 + 5 multiply-adds and about ten cheaper operations a
// vector, no division and no table.

#include "mica/kernels/cpu/simd/activation.h"

#include <cmath>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/activation.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/activation-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

void forward(Activation activation, const float* x, float* y, int64_t count) {
  with_activation(activation, [=](auto f) HWY_ATTR {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) hn::StoreU(f.value(hn::LoadU(kTag, x + i)), kTag, y + i);
    if (i < count) store_part(f.value(load_part(x + i, count - i)), y + i, count - i);
  });
}

void backward(Activation activation, const float* x, const float* dy, float* dx, int64_t count) {
  with_activation(activation, [=](auto f) HWY_ATTR {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      hn::StoreU(hn::Mul(hn::LoadU(kTag, dy + i), f.slope(hn::LoadU(kTag, x + i))), kTag, dx + i);
    }
    if (i < count) {
      const int64_t n = count - i;
      store_part(hn::Mul(load_part(dy + i, n), f.slope(load_part(x + i, n))), dx + i, n);
    }
  });
}

void finish(const TileFinish& task, const float* sum, int64_t sum_row, int64_t rows, int64_t columns) {
  with_activation(task.activation, [&](auto f) HWY_ATTR {
    const Vector scale = constant(task.scale);
    for (int64_t c = 0; c < columns; c += kLanes) {
      const int64_t n = columns - c < kLanes ? columns - c : kLanes;
      const bool whole = n == kLanes;
      Vector bias = hn::Zero(kTag);
      if (task.bias != nullptr) bias = whole ? hn::LoadU(kTag, task.bias + c) : load_part(task.bias + c, n);
      for (int64_t r = 0; r < rows; ++r) {
        Vector t = f.value(hn::MulAdd(scale, hn::LoadU(kTag, sum + r * sum_row + c), bias));
        if (task.residual != nullptr) {
          const float* p = task.residual + r * task.residual_row + c;
          t = hn::Add(t, whole ? hn::LoadU(kTag, p) : load_part(p, n));
        }
        float* y = task.y + r * task.y_row + c;
        if (whole) {
          hn::StoreU(t, kTag, y);
        } else {
          store_part(t, y, n);
        }
      }
    }
  });
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(forward);
HWY_EXPORT(backward);
HWY_EXPORT(finish);

constexpr int64_t kGrain = 8192;

void activation_forward(Activation activation, const float* x, float* y, int64_t count) {
  parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(forward)(activation, x + begin, y + begin, end - begin);
  });
}

void activation_backward(Activation activation, const float* x, const float* dy, float* dx, int64_t count) {
  parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(backward)(activation, x + begin, dy + begin, dx + begin, end - begin);
  });
}

void finish_tile(const TileFinish& task, const float* sum, int64_t sum_row, int64_t rows, int64_t columns) {
  HWY_DYNAMIC_DISPATCH(finish)(task, sum, sum_row, rows, columns);
}

}  // namespace mica::cpu::simd
#endif
