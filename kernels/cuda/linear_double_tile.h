#pragma once
// A tile of a product in float64: see linear_double.cu.

#include "mica/kernels/cuda/linear_finish.h"

namespace mica::cuda::double_tile {

constexpr int kTile = 32, kDepth = 16, kSide = 16, kThreads = kSide * kSide;

struct Pieces {
  double a[kDepth][kTile + 1], b[kDepth][kTile + 1];  // one further apart: columns of a piece lie in different banks
};

__device__ __forceinline__ void bring(const Factor& factor, int64_t offset, int64_t first_row, int64_t rows,
                                      int64_t first_depth, int64_t depth, double (&piece)[kDepth][kTile + 1]) {
  for (int e = static_cast<int>(thread_rank()); e < kTile * kDepth; e += kThreads) {
    const bool by_depth = factor.depth_stride == 1;
    const int r = by_depth ? e / kDepth : e % kTile, d = by_depth ? e % kDepth : e / kTile;
    const bool inside = first_row + r < rows && first_depth + d < depth;
    piece[d][r] = inside ? read_floating<double>(
                               factor.data, factor.dtype,
                               offset + (first_row + r) * factor.row_stride + (first_depth + d) * factor.depth_stride)
                         : 0.0;
  }
}

/// One tile of the product, at (row, column) of a batch. Every thread of the block calls.
__device__ __forceinline__ void multiply_tile(const Product& p, const TilePlace& at, Pieces& pieces) {
  const int64_t offset_a = batch_offset(p.a.batch_strides, at.batch, p.inner);
  const int64_t offset_b = batch_offset(p.b.batch_strides, at.batch, p.inner);
  const int down = static_cast<int>(thread_rank()) / kSide, across = static_cast<int>(thread_rank()) % kSide;
  double sums[2][2] = {};
  for (int64_t depth = 0; depth < p.k; depth += kDepth) {
    block_barrier();
    bring(p.a, offset_a, at.row, p.m, depth, p.k, pieces.a);
    bring(p.b, offset_b, at.column, p.n, depth, p.k, pieces.b);
    block_barrier();
    for (int d = 0; d < kDepth; ++d) {
      for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 2; ++j) sums[i][j] += pieces.a[d][down + kSide * i] * pieces.b[d][across + kSide * j];
      }
    }
  }
  const FinishPlace place = finish_place(p, at.batch);
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      const int64_t row = at.row + down + kSide * i, column = at.column + across + kSide * j;
      if (row >= p.m || column >= p.n) continue;
      if (p.finish.has_extras()) {
        finish_with_extras(p.finish, place, row, column, p.n, sums[i][j]);
      } else {
        finish_one(p.finish, place, row, column, sums[i][j]);
      }
    }
  }
}

}  // namespace mica::cuda::double_tile
