#pragma once
// What happens to a product's sums before they reach memory: see Finish.

#include "mica/kernels/cuda/device/activation.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/linear_product.h"

namespace mica::cuda {

/// A batch's part of y and residual.
struct FinishPlace {
  int64_t y, residual;
};
__device__ __forceinline__ FinishPlace finish_place(const Product& p, int64_t batch) {
  return {batch_offset(p.finish.batch_strides, batch, p.inner), batch_offset(p.finish.residual_batch, batch, p.inner)};
}

/// Not inlined: the code of all activations is there once a kernel, not once an element.
template <typename C>
[[gnu::noinline]] __device__ C activated(Activation activation, C x) {
  return activation_value(activation, x);
}

template <typename C>
[[gnu::noinline]] __device__ C slope(Activation activation, C x) {
  return activation_slope(activation, x);
}

/// t before its activation.
template <typename C>
__device__ __forceinline__ C linear_value(const Finish& f, C sum, int64_t column) {
  C value = static_cast<C>(f.alpha) * sum;
  if (f.bias.data != nullptr) value += read_floating<C>(f.bias.data, f.bias.dtype, column * f.bias.stride);
  return value;
}

template <typename C>
__device__ __forceinline__ C finish_value(const Finish& f, C sum, int64_t column) {
  const C value = linear_value(f, sum, column);
  return f.activation == Activation::none ? value : activated(f.activation, value);
}

/// One element of a result with extras.
template <typename C>
__device__ __forceinline__ void finish_with_extras(const Finish& f, const FinishPlace& place, int64_t row,
                                                   int64_t column, int64_t columns, C sum) {
  C value = linear_value(f, sum, column);
  const int64_t at = row * columns + column, y = place.y + row * f.row_stride + column;
  C x;
  if (f.before != nullptr) {
    x = read_floating<C>(f.before, f.dtype, at);
    value *= slope(f.activation, x);
    write_floating(f.y, f.dtype, y, value);
  } else {
    write_floating(f.y, f.dtype, y, value);
    x = read_floating<C>(f.y, f.dtype, y);  // as it was rounded
  }
  if (f.activated != nullptr) write_floating(f.activated, f.dtype, at, activated(f.activation, x));
}

/// One element.
template <typename C>
__device__ __forceinline__ void finish_one(const Finish& f, const FinishPlace& at, int64_t row, int64_t column, C sum) {
  C value = finish_value(f, sum, column);
  if (f.residual != nullptr) {
    value += read_floating<C>(f.residual, f.dtype, at.residual + row * f.residual_row + column);
  }
  write_floating(f.y, f.dtype, at.y + row * f.row_stride + column, value);
}

template <typename T, typename C>
__device__ __forceinline__ void finish_four(const Finish& f, int64_t y, int64_t residual, C (&values)[4]) {
  if (f.residual != nullptr) {
    const auto r = load_pack<4>(static_cast<const T*>(f.residual) + residual);
#pragma unroll
    for (int i = 0; i < 4; ++i) values[i] += widen(r.values[i]);
  }
  Pack<T, 4> result;
#pragma unroll
  for (int i = 0; i < 4; ++i) result.values[i] = narrow<T>(values[i]);
  store_pack(static_cast<T*>(f.y) + y, result);
}

/// Four neighbours of a result with extras.
template <typename T>
__device__ __forceinline__ void finish_four_with_extras(const Finish& f, int64_t y, int64_t at, float (&values)[4]) {
  Pack<T, 4> x, result;
  if (f.before != nullptr) {
    x = load_pack<4>(static_cast<const T*>(f.before) + at);
#pragma unroll
    for (int i = 0; i < 4; ++i) values[i] *= slope(f.activation, widen(x.values[i]));
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) result.values[i] = narrow<T>(values[i]);
  store_pack(static_cast<T*>(f.y) + y, result);
  if (f.activated == nullptr) return;
  if (f.before == nullptr) x = result;
#pragma unroll
  for (int i = 0; i < 4; ++i) x.values[i] = narrow<T>(activated(f.activation, widen(x.values[i])));
  store_pack(static_cast<T*>(f.activated) + at, x);
}

/// Rows of sums in shared memory, eight elements further apart than they are long: what four rows of a fragment write
/// at once lies in different banks.
template <int kColumns>
constexpr int kSumsStride = kColumns + 8;

/// Finishes kRows x kColumns float sums that lie in shared memory, the first of them at (row, column) of the result.
/// All threads of the block, neighbours at neighbouring columns.
template <int kRows, int kColumns, int kThreads>
__device__ __forceinline__ void finish_tile(const Product& p, const FinishPlace& at, const float* sums, int64_t row,
                                            int64_t column) {
  const Finish& f = p.finish;
  constexpr int kFours = kColumns / 4, kStride = kSumsStride<kColumns>;
  static_assert(kRows * kFours % kThreads == 0);
  const bool extras = f.has_extras();
  const auto one = [&](int64_t r, int64_t c, float sum) {
    if (extras) {
      finish_with_extras(f, at, r, c, p.n, sum);
    } else {
      finish_one(f, at, r, c, sum);
    }
  };
  if (!f.wide) {
#pragma unroll 1
    for (int e = static_cast<int>(thread_rank()); e < kRows * kColumns; e += kThreads) {
      const int64_t r = row + e / kColumns, c = column + e % kColumns;
      if (r < p.m && c < p.n) one(r, c, sums[e / kColumns * kStride + e % kColumns]);
    }
    return;
  }
#pragma unroll 1
  for (int e = static_cast<int>(thread_rank()); e < kRows * kFours; e += kThreads) {
    const int64_t r = row + e / kFours, c = column + e % kFours * 4;
    if (r >= p.m || c >= p.n) continue;
    const float* from = sums + e / kFours * kStride + e % kFours * 4;
    if (c + 4 > p.n) {
#pragma unroll 1
      for (int i = 0; c + i < p.n; ++i) one(r, c + i, from[i]);
      continue;
    }
    const auto four = load_pack<4>(from);
    float values[4];
    if (extras) {
#pragma unroll
      for (int i = 0; i < 4; ++i) values[i] = linear_value(f, four.values[i], c + i);
      const int64_t y = at.y + r * f.row_stride + c, extra = r * p.n + c;
      switch (f.dtype) {
        case DType::float16:
          finish_four_with_extras<float16>(f, y, extra, values);
          break;
        case DType::bfloat16:
          finish_four_with_extras<bfloat16>(f, y, extra, values);
          break;
        default:
          finish_four_with_extras<float>(f, y, extra, values);
      }
      continue;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) values[i] = finish_value(f, four.values[i], c + i);
    const int64_t y = at.y + r * f.row_stride + c, residual = at.residual + r * f.residual_row + c;
    switch (f.dtype) {
      case DType::float16:
        finish_four<float16>(f, y, residual, values);
        break;
      case DType::bfloat16:
        finish_four<bfloat16>(f, y, residual, values);
        break;
      default:
        finish_four<float>(f, y, residual, values);
    }
  }
}

}  // namespace mica::cuda
