#pragma once
// Tiles of float32 rows in shared memory, [rows][size + 4], and their products by the ordinary units. A block is 16
// threads wide; thread (x, y) owns the rows 4 y to 4 y + 3 of a product, and of its columns every 16th (of products of
// rows), or every 16th group of four (of products with columns). The four elements between rows make a row an odd
// number of 16-byte pieces long, so that the 16 rows that a warp reads at once lie in different banks.

#include "mica/kernels/cuda/device/async_copy.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/device/number.h"

namespace mica::cuda {

template <int kSize>
constexpr int kFloatStride = kSize + 4;

/// Fills kCount rows of a tile, of which `rows` of `size` elements exist; the others, and the columns past `size` up to
/// kSize, become zeros. Narrow elements are widened, which takes no copy in the background.
template <int kCount, int kSize, int kThreads, typename K>
__device__ __forceinline__ void load_float_tile(float* tile, const K* from, int64_t row_stride, int rows, int size) {
  constexpr int kWideK = kWide<K>, kPacks = kSize / kWideK;
#pragma unroll 1
  for (int i = static_cast<int>(thread_rank()); i < kCount * kPacks; i += kThreads) {
    const int row = i / kPacks, column = i % kPacks * kWideK;
    const bool valid = row < rows && column < size;
    float* to = tile + row * kFloatStride<kSize> + column;
    const K* at = valid ? from + row * row_stride + column : from;
    if constexpr (std::is_same_v<K, float>) {
      copy_async_16(to, at, valid);
    } else {
      Pack<K, kWideK> pack{};
      if (valid) pack = load_pack<kWideK>(at);
#pragma unroll
      for (int j = 0; j < kWideK; j += 4) {
        store_pack(to + j, Pack<float, 4>{{widen(pack.values[j]), widen(pack.values[j + 1]), widen(pack.values[j + 2]),
                                           widen(pack.values[j + 3])}});
      }
    }
  }
}

/// c[i][j] = sum over d < size of a[4 y + i][d] * b[x + 16 j][d].
template <int kSize, int kJ>
__device__ __forceinline__ void float_rows(float (&c)[4][kJ], const float* a, const float* b, int size) {
  const float* a_at = a + 4 * static_cast<int>(thread_y()) * kFloatStride<kSize>;
  const float* b_at = b + static_cast<int>(thread_x()) * kFloatStride<kSize>;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < kJ; ++j) c[i][j] = 0;
  }
#pragma unroll 1
  for (int d = 0; d < size; d += 4) {
    Pack<float, 4> x[4], y[kJ];
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = load_pack<4>(a_at + i * kFloatStride<kSize> + d);
#pragma unroll
    for (int j = 0; j < kJ; ++j) y[j] = load_pack<4>(b_at + 16 * j * kFloatStride<kSize> + d);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < kJ; ++j) {
#pragma unroll
        for (int e = 0; e < 4; ++e) c[i][j] += x[i].values[e] * y[j].values[e];
      }
    }
  }
}

/// c[i][n] (column 64 n + 4 x + e) += sum over k < kDepth of a[4 y + i][k] * b[k][column]; a has rows of kDepth + 4.
template <int kSize, int kDepth>
__device__ __forceinline__ void float_columns(Pack<float, 4> (&c)[4][kSize / 64], const float* a, const float* b) {
  const float* a_at = a + 4 * static_cast<int>(thread_y()) * (kDepth + 4);
  const float* b_at = b + 4 * static_cast<int>(thread_x());
#pragma unroll 1
  for (int k = 0; k < kDepth; k += 4) {
    Pack<float, 4> x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = load_pack<4>(a_at + i * (kDepth + 4) + k);
#pragma unroll
    for (int d = 0; d < 4; ++d) {
#pragma unroll
      for (int n = 0; n < kSize / 64; ++n) {
        const auto y = load_pack<4>(b_at + (k + d) * kFloatStride<kSize> + 64 * n);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int e = 0; e < 4; ++e) c[i][n].values[e] += x[i].values[d] * y.values[e];
        }
      }
    }
  }
}

/// Puts a product of rows where float_columns() reads it; its readers are in the writer's warp.
template <int kDepth, int kJ>
__device__ __forceinline__ void keep_factors(float* to, const float (&c)[4][kJ]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float* row = to + (4 * static_cast<int>(thread_y()) + i) * (kDepth + 4) + static_cast<int>(thread_x());
#pragma unroll
    for (int j = 0; j < kJ; ++j) row[16 * j] = c[i][j];
  }
}

/// Four rows of columns, times a factor each, where `row_of` gives a row's address (null: none).
template <int kSize, typename RowOf>
__device__ __forceinline__ void store_columns(const Pack<float, 4> (&c)[4][kSize / 64], int size, const RowOf& row_of) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto [row, factor] = row_of(i);
    if (row == nullptr) continue;
#pragma unroll
    for (int n = 0; n < kSize / 64; ++n) {
      const int column = 64 * n + 4 * static_cast<int>(thread_x());
      if (column >= size) continue;
      Pack<float, 4> pack = c[i][n];
#pragma unroll
      for (int e = 0; e < 4; ++e) pack.values[e] *= factor;
      store_pack(row + column, pack);
    }
  }
}

/// A row's address, and by what its elements are multiplied.
struct FactoredRow {
  float* row;
  float factor;
};

}  // namespace mica::cuda
