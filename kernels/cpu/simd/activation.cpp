// Activations on arrays, gated products, and the epilogue of a product's tile.
//
// Must read and write each element once (8 bytes an element, 12 of a gated product and 20 of its backward; a tile of
// sums lies in L1). Fast because everything is
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
    for (; i + 4 * kLanes <= count; i += 4 * kLanes) store_four(f.value(load_four(x + i)), y + i);
    for (; i + kLanes <= count; i += kLanes) hn::StoreU(f.value(hn::LoadU(kTag, x + i)), kTag, y + i);
    if (i < count) store_part(f.value(load_part(x + i, count - i)), y + i, count - i);
  });
}

void backward(Activation activation, const float* x, const float* dy, float* dx, int64_t count) {
  with_activation(activation, [=](auto f) HWY_ATTR {
    int64_t i = 0;
    for (; i + 4 * kLanes <= count; i += 4 * kLanes)
      store_four(mul(load_four(dy + i), f.slope(load_four(x + i))), dx + i);
    for (; i + kLanes <= count; i += kLanes) {
      hn::StoreU(hn::Mul(hn::LoadU(kTag, dy + i), f.slope(hn::LoadU(kTag, x + i))), kTag, dx + i);
    }
    if (i < count) {
      const int64_t n = count - i;
      store_part(hn::Mul(load_part(dy + i, n), f.slope(load_part(x + i, n))), dx + i, n);
    }
  });
}

void softcap_part(const float* x, float cap, float* y, int64_t count) {
  const Vector c = constant(cap);
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    const Four c4 = {{c, c, c, c}};
    store_four(mul(tanh(div(load_four(x + i), c4)), c4), y + i);
  }
  for (; i < count; i += kLanes) {
    const int64_t n = count - i < kLanes ? count - i : kLanes;
    store(hn::Mul(tanh(hn::Div(load(x + i, n), c)), c), y + i, n);
  }
}

void softcap_backward_part(const float* y, const float* dy, float cap, float* dx, int64_t count) {
  const Vector c = constant(cap), one = constant(1);
  for_vectors(count, [=](int64_t i, int64_t n) HWY_ATTR {
    const Vector t = hn::Div(load(y + i, n), c);
    store(hn::Mul(load(dy + i, n), hn::NegMulAdd(t, t, one)), dx + i, n);
  });
}

// What a gated product holds of its activations at a time: they stay in L1 while they are multiplied, and so the loops
// over every activation above serve here as well.
constexpr int64_t kPiece = 512;

// The columns [first, last) of the rows [begin, end).
void gated_block(const Gated& task, int64_t begin, int64_t end, int64_t first, int64_t last) {
  HWY_ALIGN float values[kPiece];
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t i = first; i < last; i += kPiece) {
      const int64_t count = last - i < kPiece ? last - i : kPiece;
      const float* up = task.up + row * task.up_row + i;
      float* y = task.y + row * task.y_row + i;
      forward(task.activation, task.gate + row * task.gate_row + i, values, count);
      for_vectors(count, [&](int64_t k, int64_t n)
                             HWY_ATTR { store(hn::Mul(load(values + k, n), load(up + k, n)), y + k, n); });
    }
  }
}

void gated_backward_block(const Gated& task, int64_t begin, int64_t end, int64_t first, int64_t last) {
  HWY_ALIGN float values[kPiece], slopes[kPiece];
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t i = first; i < last; i += kPiece) {
      const int64_t count = last - i < kPiece ? last - i : kPiece;
      const float* gate = task.gate + row * task.gate_row + i;
      const float* up = task.up + row * task.up_row + i;
      const float* dy = task.dy + row * task.dy_row + i;
      float* dgate = task.dgate + row * task.dgate_row + i;
      float* dup = task.dup + row * task.dup_row + i;
      forward(task.activation, gate, values, count);
      for_vectors(count, [&](int64_t k, int64_t n)
                             HWY_ATTR { store(hn::Mul(load(dy + k, n), load(up + k, n)), slopes + k, n); });
      backward(task.activation, gate, slopes, slopes, count);
      for_vectors(count, [&](int64_t k, int64_t n) HWY_ATTR {
        store(hn::Mul(load(dy + k, n), load(values + k, n)), dup + k, n);
        store(load(slopes + k, n), dgate + k, n);  // last: it may be dy
      });
    }
  }
}

// One vector column of a tile, rows from `first` on, one by one.
template <class Function>
HWY_INLINE void finish_column(const Function& f, const TileFinish& task, const float* sum, int64_t sum_row,
                              int64_t first, int64_t rows, int64_t column, int64_t n, Vector bias) {
  for (int64_t r = first; r < rows; ++r) {
    Vector t = f.value(mul_add(constant(task.scale), hn::LoadU(kTag, sum + r * sum_row + column), bias));
    if (task.residual != nullptr) t = add(t, load(task.residual + r * task.residual_row + column, n));
    store(t, task.y + r * task.y_row + column, n);
  }
}

void finish(const TileFinish& task, const float* sum, int64_t sum_row, int64_t rows, int64_t columns) {
  with_activation(task.activation, [&](auto f) HWY_ATTR {
    for (int64_t c = 0; c < columns; c += kLanes) {
      const int64_t n = columns - c < kLanes ? columns - c : kLanes;
      const Vector bias = task.bias != nullptr ? load(task.bias + c, n) : hn::Zero(kTag);
      int64_t r = 0;
      if (n == kLanes) {
        const Four biases = {{bias, bias, bias, bias}};
        for (; r + 4 <= rows; r += 4) {
          Four t;
          HWY_UNROLL(4)
          for (int i = 0; i < 4; ++i) t.v[i] = hn::LoadU(kTag, sum + (r + i) * sum_row + c);
          t = f.value(mul_add(fill<Four>(task.scale), t, biases));
          if (task.residual != nullptr) {
            HWY_UNROLL(4)
            for (int i = 0; i < 4; ++i)
              t.v[i] = add(t.v[i], hn::LoadU(kTag, task.residual + (r + i) * task.residual_row + c));
          }
          HWY_UNROLL(4)
          for (int i = 0; i < 4; ++i) hn::StoreU(t.v[i], kTag, task.y + (r + i) * task.y_row + c);
        }
      }
      finish_column(f, task, sum, sum_row, r, rows, c, n, bias);
    }
  });
}

// Part of one row, or a vector of each of four rows.
struct OneRow {
  int64_t n;
  HWY_INLINE Vector load(const float* p, int64_t /*row*/) const { return HWY_NAMESPACE::load(p, n); }
  HWY_INLINE void store(Vector v, float* p, int64_t /*row*/) const { HWY_NAMESPACE::store(v, p, n); }
};
struct FourRows {
  HWY_INLINE Four load(const float* p, int64_t row) const {
    return {{hn::LoadU(kTag, p), hn::LoadU(kTag, p + row), hn::LoadU(kTag, p + 2 * row), hn::LoadU(kTag, p + 3 * row)}};
  }
  HWY_INLINE void store(const Four& v, float* p, int64_t row) const {
    HWY_UNROLL(4)
    for (int i = 0; i < 4; ++i) hn::StoreU(v.v[i], kTag, p + i * row);
  }
};

template <class Function, class Access>
HWY_INLINE void activate_part(const Function& f, const Access& access, const TileActivation& task, float* y,
                              int64_t y_row) {
  const auto result = access.load(y, y_row);
  if (task.before == nullptr) return access.store(f.value(result), task.activated, task.row);
  auto x = access.load(task.before, task.row);
  if constexpr (requires { f.value_and_slope(x, &x); }) {
    if (task.activated != nullptr) {
      auto slope = x;
      access.store(f.value_and_slope(x, &slope), task.activated, task.row);
      return access.store(mul(result, slope), y, y_row);
    }
  }
  if (task.activated != nullptr) access.store(f.value(x), task.activated, task.row);
  access.store(mul(result, f.slope(x)), y, y_row);
}

void activate_block(const TileActivation& task, float* y, int64_t y_row, int64_t rows, int64_t columns) {
  with_activation(task.activation, [&](auto f) HWY_ATTR {
    for (int64_t c = 0; c < columns; c += kLanes) {
      const int64_t n = columns - c < kLanes ? columns - c : kLanes;
      int64_t r = 0;
      for (; n == kLanes && r + 4 <= rows; r += 4)
        activate_part(f, FourRows(), task.at(r, c), y + r * y_row + c, y_row);
      for (; r < rows; ++r) activate_part(f, OneRow{n}, task.at(r, c), y + r * y_row + c, y_row);
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
HWY_EXPORT(gated_block);
HWY_EXPORT(gated_backward_block);
HWY_EXPORT(softcap_part);
HWY_EXPORT(softcap_backward_part);
HWY_EXPORT(finish);
HWY_EXPORT(activate_block);

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

namespace {
// A long row is cut so that threads share it: body(rows begin, end, columns first, last).
template <class Body>
void for_blocks(int64_t rows, int64_t size, const Body& body) {
  const int64_t parts = (size + kGrain - 1) / kGrain;
  if (parts <= 1) {
    parallel_for(rows, kGrain / (size + 1) + 1, [&](int64_t begin, int64_t end) { body(begin, end, 0, size); });
    return;
  }
  parallel_for(rows * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / parts, first = i % parts * kGrain;
      body(row, row + 1, first, first + kGrain < size ? first + kGrain : size);
    }
  });
}
}  // namespace

void softcap(const float* x, float cap, float* y, int64_t count) {
  parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(softcap_part)(x + begin, cap, y + begin, end - begin);
  });
}

void softcap_backward(const float* y, const float* dy, float cap, float* dx, int64_t count) {
  parallel_for(count, kGrain, [=](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(softcap_backward_part)(y + begin, dy + begin, cap, dx + begin, end - begin);
  });
}

void gated(const Gated& task, int64_t rows) {
  for_blocks(rows, task.size, [&](int64_t begin, int64_t end, int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(gated_block)(task, begin, end, first, last);
  });
}

void gated_backward(const Gated& task, int64_t rows) {
  for_blocks(rows, task.size, [&](int64_t begin, int64_t end, int64_t first, int64_t last) {
    HWY_DYNAMIC_DISPATCH(gated_backward_block)(task, begin, end, first, last);
  });
}

void activate_tile(const TileActivation& task, float* y, int64_t y_row, int64_t rows, int64_t columns) {
  HWY_DYNAMIC_DISPATCH(activate_block)(task, y, y_row, rows, columns);
}

void finish_tile(const TileFinish& task, const float* sum, int64_t sum_row, int64_t rows, int64_t columns) {
  HWY_DYNAMIC_DISPATCH(finish)(task, sum, sum_row, rows, columns);
}

}  // namespace mica::cpu::simd
#endif
