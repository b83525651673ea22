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
__device__ __forceinline__ C finish_value(const Finish& f, C sum, int64_t column) {
  C value = static_cast<C>(f.alpha) * sum;
  if (f.bias.data != nullptr) value += read_floating<C>(f.bias.data, f.bias.dtype, column * f.bias.stride);
  return f.activation == Activation::none ? value : activated(f.activation, value);
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
  if (!f.wide) {
#pragma unroll 1
    for (int e = static_cast<int>(thread_rank()); e < kRows * kColumns; e += kThreads) {
      const int64_t r = row + e / kColumns, c = column + e % kColumns;
      if (r < p.m && c < p.n) finish_one(f, at, r, c, sums[e / kColumns * kStride + e % kColumns]);
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
      for (int i = 0; c + i < p.n; ++i) finish_one(f, at, r, c + i, from[i]);
      continue;
    }
    const auto four = load_pack<4>(from);
    float values[4];
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
