#pragma once
// Tiles of 16-bit rows in shared memory, [rows][size + 8], and their products on the matrix units. The eight elements
// between rows make a row an odd number of 16-byte pieces long, so that the eight rows of a matrix that ldmatrix reads
// lie in different banks. Columns that the operand lacks, and rows, are zeros.

#include "mica/kernels/cuda/device/async_copy.h"
#include "mica/kernels/cuda/device/matrix.h"

namespace mica::cuda {

template <int kSize>
constexpr int kTileStride = kSize + 8;
template <int kRows, int kSize>
constexpr int kTileElements = kRows* kTileStride<kSize>;

/// Starts the copy of kRows rows, of which `rows` of `size` elements exist, by a block of kThreads.
template <int kRows, int kSize, int kThreads, typename T>
__device__ __forceinline__ void load_tile(T* tile, const T* from, int64_t row_stride, int rows, int size) {
  constexpr int kPacks = kSize / 8;
#pragma unroll 1  // each unrolled copy would hold its addresses in registers
  for (int i = static_cast<int>(thread_rank()); i < kRows * kPacks; i += kThreads) {
    const int row = i / kPacks, column = i % kPacks * 8;
    const bool valid = row < rows && column < size;
    copy_async_16(tile + row * kTileStride<kSize> + column, valid ? from + row * row_stride + column : from, valid);
  }
}

/// c[m][n] += sum over i of a[a_row + 16 m + ..][i] * b[8 n + ..][i].
template <int kSize, typename T, int kM, int kN>
__device__ __forceinline__ void multiply_rows(FragmentC (&c)[kM][kN], const T* a, int a_row, const T* b) {
  const int lane = static_cast<int>(lane_index());
  const T* a_at = a + (a_row + lane % 16) * kTileStride<kSize> + lane / 16 * 8;
  const T* b_at = b + (lane % 8 + lane / 16 * 8) * kTileStride<kSize> + lane / 8 % 2 * 8;
#pragma unroll
  for (int i = 0; i < kSize; i += 16) {
    FragmentA rows[kM];
#pragma unroll
    for (int m = 0; m < kM; ++m) load_matrices_4(a_at + m * 16 * kTileStride<kSize> + i, rows[m].r);
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t r[4];
      load_matrices_4(b_at + n * 8 * kTileStride<kSize> + i, r);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        multiply_add<T>(c[m][n], rows[m], FragmentB{{r[0], r[1]}});
        multiply_add<T>(c[m][n + 1], rows[m], FragmentB{{r[2], r[3]}});
      }
    }
  }
}

/// c[m][n] += sum over i of a[m] (.., i) * b[i][8 n + ..]; b is the tile from its first column on.
template <int kSize, typename T, int kM, int kN, int kDepth>
__device__ __forceinline__ void multiply_columns(FragmentC (&c)[kM][kN], const FragmentA (&a)[kM][kDepth], const T* b) {
  const int lane = static_cast<int>(lane_index());
  const T* b_at = b + lane % 16 * kTileStride<kSize> + lane / 16 * 8;
#pragma unroll
  for (int i = 0; i < kDepth; ++i) {
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t r[4];
      load_matrices_4<true>(b_at + i * 16 * kTileStride<kSize> + n * 8, r);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        multiply_add<T>(c[m][n], a[m][i], FragmentB{{r[0], r[1]}});
        multiply_add<T>(c[m][n + 1], a[m][i], FragmentB{{r[2], r[3]}});
      }
    }
  }
}

/// A product's fragments, rounded, as factors of the next: its columns become the depth.
template <typename T, int kM, int kN>
__device__ __forceinline__ void as_factors(const FragmentC (&c)[kM][kN], FragmentA (&a)[kM][kN / 2]) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kN; ++n) {
      a[m][n / 2].r[n % 2 * 2] = pack_two<T>(c[m][n].r[0], c[m][n].r[1]);
      a[m][n / 2].r[n % 2 * 2 + 1] = pack_two<T>(c[m][n].r[2], c[m][n].r[3]);
    }
  }
}

/// Over the four lanes that hold a row of a product.
template <typename Op>
__device__ __forceinline__ float combine_row(float value, Op op) {
  value = op(value, shuffle_xor(value, 1));
  return op(value, shuffle_xor(value, 2));
}

/// Whether it holds for any thread of a block of kWarps. `votes`: shared memory that nobody uses until the next
/// barrier.
template <int kWarps>
__device__ __forceinline__ bool any_warp(bool holds, int* votes) {
  const bool warp_any = ballot(holds) != 0;
  if (lane_index() == 0) votes[warp_index()] = warp_any ? 1 : 0;
  block_barrier();
  bool any = false;
  for (int w = 0; w < kWarps; ++w) any = any || votes[w] != 0;
  return any;
}

template <int kM, int kN>
__device__ __forceinline__ void clear(FragmentC (&c)[kM][kN]) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kN; ++n) c[m][n] = FragmentC{{0, 0, 0, 0}};
  }
}

}  // namespace mica::cuda
