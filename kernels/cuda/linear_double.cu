// Products in float64, of factors of any floating dtype: gradient checks and little else, so the plain form. A block
// keeps 32 x 32 elements, a thread 2 x 2 of them, over pieces of 16 of the depth. Sums run over the depth one by one.

#include "mica/kernels/cuda/linear_finish.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

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

__global__ void double_kernel(Product p) {
  Pieces& pieces = shared_memory<Pieces>();
  const TilePlace at = tile_place(p, block_x(), kTile, kTile);
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

}  // namespace

void multiply_double(CudaDevice& on, const char* name, const Product& product) {
  launch(name, on.stream, {{tile_count(product, kTile, kTile)}, {kThreads}, sizeof(Pieces)}, double_kernel, product);
}

}  // namespace mica::cuda
