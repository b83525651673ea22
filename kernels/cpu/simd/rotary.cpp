// Rotary position embedding over rows of heads.
//
// Must read x and write y once, 8 bytes an element; the row's cosines and sines stay in L1 for all of its heads. Fast
// because a pair of vectors takes four multiply-adds and nothing else; interleaved pairs are taken apart by the
// shuffles of an interleaved load, and put together by those of the store.

#include "mica/kernels/cpu/simd/rotary.h"

#include <cstring>

#include "mica/base/parallel.h"
#include "mica/kernels/cpu/simd/targets.h"

// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "mica/kernels/cpu/simd/rotary.cpp"
#include <hwy/foreach_target.h>
#include "mica/kernels/cpu/simd/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace mica::cpu::simd::HWY_NAMESPACE {
namespace {

HWY_INLINE void turn(Vector c, Vector s, Vector& first, Vector& second) {
  const Vector y1 = hn::NegMulAdd(s, second, hn::Mul(c, first));
  second = hn::MulAdd(s, first, hn::Mul(c, second));
  first = y1;
}

void turn_halves(const float* x, const float* cos, const float* sin, Vector sign, int64_t half, float* y) {
  for_vectors(half, [=](int64_t i, int64_t n) HWY_ATTR {
    Vector first = load(x + i, n), second = load(x + half + i, n);
    turn(load(cos + i, n), hn::Mul(load(sin + i, n), sign), first, second);
    store(first, y + i, n);
    store(second, y + half + i, n);
  });
}

void turn_neighbours(const float* x, const float* cos, const float* sin, Vector sign, int64_t half, float* y) {
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    Vector first, second;
    hn::LoadInterleaved2(kTag, x + 2 * i, first, second);
    turn(hn::LoadU(kTag, cos + i), hn::Mul(hn::LoadU(kTag, sin + i), sign), first, second);
    hn::StoreInterleaved2(first, second, kTag, y + 2 * i);
  }
  if (i == half) return;
  // The rest through buffers of whole vectors.
  const int64_t n = half - i;
  HWY_ALIGN float pairs[2 * kLanes] = {};
  std::memcpy(pairs, x + 2 * i, static_cast<size_t>(2 * n) * sizeof(float));
  Vector first, second;
  hn::LoadInterleaved2(kTag, pairs, first, second);
  turn(load_part(cos + i, n), hn::Mul(load_part(sin + i, n), sign), first, second);
  hn::StoreInterleaved2(first, second, kTag, pairs);
  std::memcpy(y + 2 * i, pairs, static_cast<size_t>(2 * n) * sizeof(float));
}

void rotate_rows(const Rotary& task, int64_t begin, int64_t end) {
  const Vector sign = constant(task.inverse ? -1.0F : 1.0F);
  const int64_t turned_end = task.offset + 2 * task.half;
  for (int64_t row = begin; row < end; ++row) {
    const float* cos = task.cos + row * task.cos_row;
    const float* sin = task.sin + row * task.sin_row;
    for (int64_t head = 0; head < task.heads; ++head) {
      const float* x = task.x + row * task.x_row + head * task.x_head;
      float* y = task.y + row * task.y_row + head * task.y_head;
      if (x != y) {
        std::memcpy(y, x, static_cast<size_t>(task.offset) * sizeof(float));
        std::memcpy(y + turned_end, x + turned_end, static_cast<size_t>(task.head_size - turned_end) * sizeof(float));
      }
      const auto turn_all = task.layout == RotaryLayout::interleaved ? turn_neighbours : turn_halves;
      turn_all(x + task.offset, cos, sin, sign, task.half, y + task.offset);
    }
  }
}

}  // namespace
}  // namespace mica::cpu::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mica::cpu::simd {
HWY_EXPORT(rotate_rows);

void rotary(const Rotary& task, int64_t rows) {
  constexpr int64_t kGrain = 16384;  // elements worth waking a thread for
  parallel_for(rows, kGrain / (task.heads * task.head_size + 1) + 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(rotate_rows)(task, begin, end);
  });
}

}  // namespace mica::cpu::simd
#endif
