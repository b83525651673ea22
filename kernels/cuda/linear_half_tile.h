#pragma once
// A tile of a product of float16 or bfloat16 factors: see linear_half.cu.

#include "mica/kernels/cuda/device/matrix.h"
#include "mica/kernels/cuda/linear_finish.h"
#include "mica/kernels/cuda/linear_tiles.h"

namespace mica::cuda::half_tile {

constexpr int kDepth = 32, kStages = 3;

template <int kTileRows, int kTileColumns, int kWarpRows, int kWarpColumns>
struct HalfTile {
  static constexpr int kRows = kTileRows, kColumns = kTileColumns;
  static constexpr int kAcross = kTileColumns / kWarpColumns;  // warps side by side
  static constexpr int kThreads = kTileRows / kWarpRows * kAcross * static_cast<int>(kWarp);
  static constexpr int kM = kWarpRows / 16, kN = kWarpColumns / 8;  // fragments of a warp
  static constexpr int kHalf = kTileRows / 2;                       // rows whose sums are finished at once
  static constexpr int kABytes = kTileRows * kDepth * 2, kBBytes = kTileColumns * kDepth * 2;
  static constexpr int kSharedBytes = kStages * (kABytes + kBBytes);
  static_assert(kHalf * kSumsStride<kTileColumns> * 4 <= kSharedBytes);
  static_assert(kHalf % kWarpRows == 0 && kN % 2 == 0);
};
using Large = HalfTile<128, 128, 64, 32>;
using Small = HalfTile<64, 64, 32, 32>;

// The fragment of a at [row + 16 i, depth] of its piece.
template <typename Piece, bool kAlongDepth>
__device__ __forceinline__ FragmentA read_a(char* piece, int row, int i, int depth) {
  const int lane = static_cast<int>(lane_index());
  FragmentA a;
  if constexpr (kAlongDepth) {
    load_matrices_4(Piece::chunk(piece, row + lane % 16, depth / 8 + lane / 16, 16 * i), a.r);
  } else {
    load_matrices_4<true>(Piece::chunk(piece, depth + lane % 8 + lane / 16 * 8, row / 8 + 2 * i + lane / 8 % 2), a.r);
  }
  return a;
}

// Two fragments of b side by side, at [column + 16 j, depth] and [column + 16 j + 8, depth].
template <typename Piece, bool kAlongDepth>
__device__ __forceinline__ void read_b(char* piece, int column, int j, int depth, FragmentB* b) {
  const int lane = static_cast<int>(lane_index());
  uint32_t r[4];
  if constexpr (kAlongDepth) {
    load_matrices_4(Piece::chunk(piece, column + lane % 8 + lane / 16 * 8, depth / 8 + lane / 8 % 2, 16 * j), r);
  } else {
    load_matrices_4<true>(Piece::chunk(piece, depth + lane % 16, column / 8 + 2 * j + lane / 16), r);
  }
  b[0] = {{r[0], r[1]}};
  b[1] = {{r[2], r[3]}};
}

// The sums over the depth of a warp's rows of a, or of b: products with ones, for which the blocks and warps at the
// result's edge do an eighth more. Every column of a's sums is the same, and every row of b's.
template <typename F, typename Tile>
class RowSums {
  static constexpr int kMost = Tile::kM > Tile::kN ? Tile::kM : Tile::kN;

 public:
  __device__ __forceinline__ RowSums(const Product& p, const TilePlace& at, int row, int column)
      : a_(p.a_sums != nullptr && at.column == 0 && column == 0), b_(p.b_sums != nullptr && at.row == 0 && row == 0) {}

  __device__ __forceinline__ void add(const FragmentA (&a)[Tile::kM], const FragmentB (&b)[Tile::kN]) {
    const uint32_t two = pack_two<F>(1, 1);
    if (a_) {
      const FragmentB ones = {{two, two}};
#pragma unroll
      for (int i = 0; i < Tile::kM; ++i) multiply_add<F>(sums_[i], a[i], ones);
    } else if (b_) {
      const FragmentA ones = {{two, two, two, two}};
#pragma unroll
      for (int j = 0; j < Tile::kN; ++j) multiply_add<F>(sums_[j], ones, b[j]);
    }
  }
  __device__ __forceinline__ void store(const Product& p, int64_t row, int64_t column) const {
    const int lane = static_cast<int>(lane_index()), g = lane / 4, t = lane % 4;
    if (a_ && t == 0) {
#pragma unroll
      for (int i = 0; i < Tile::kM; ++i) {
        store_one(p.a_sums, p, row + 16 * i + g, p.m, sums_[i].r[0]);
        store_one(p.a_sums, p, row + 16 * i + g + 8, p.m, sums_[i].r[2]);
      }
    } else if (b_ && g == 0) {
#pragma unroll
      for (int j = 0; j < Tile::kN; ++j) {
        store_one(p.b_sums, p, column + 8 * j + 2 * t, p.n, sums_[j].r[0]);
        store_one(p.b_sums, p, column + 8 * j + 2 * t + 1, p.n, sums_[j].r[1]);
      }
    }
  }

 private:
  static __device__ __forceinline__ void store_one(void* to, const Product& p, int64_t i, int64_t count, float sum) {
    if (i < count) write_floating(to, p.finish.dtype, i, sum);
  }
  bool a_, b_;  // the same for the whole warp
  FragmentC sums_[kMost] = {};
};

// One tile of the product, at (row, column) of a batch; `shared` has kSharedBytes. Every thread of the block calls.
template <typename F, typename Tile, Source kSourceA, bool kAlongA, Source kSourceB, bool kAlongB, bool kSums>
__device__ __forceinline__ void multiply_tile(const Product& p, const TilePlace& at, char* shared) {
  using PieceA = Piece<F, Tile::kRows, kDepth, kAlongA>;
  using PieceB = Piece<F, Tile::kColumns, kDepth, kAlongB>;
  using LoaderA = PieceLoader<F, kSourceA, kAlongA, Tile::kRows, kDepth, Tile::kThreads>;
  using LoaderB = PieceLoader<F, kSourceB, kAlongB, Tile::kColumns, kDepth, Tile::kThreads>;
  const LoaderA a(p.a, batch_offset(p.a.batch_strides, at.batch, p.inner), at.row, p.m, p.k);
  const LoaderB b(p.b, batch_offset(p.b.batch_strides, at.batch, p.inner), at.column, p.n, p.k);
  const int warp = static_cast<int>(warp_index()), lane = static_cast<int>(lane_index());
  const int row = warp / Tile::kAcross * (Tile::kM * 16), column = warp % Tile::kAcross * (Tile::kN * 8);
  FragmentC sums[Tile::kM][Tile::kN] = {};
  RowSums<F, Tile> row_sums(p, at, row, column);
  over_depth<kDepth, kStages>(a, Tile::kABytes, b, Tile::kBBytes, shared, p.k, [&](char* piece_a, char* piece_b) {
#pragma unroll
    for (int depth = 0; depth < kDepth; depth += 16) {
      FragmentA fa[Tile::kM];
      FragmentB fb[Tile::kN];
#pragma unroll
      for (int i = 0; i < Tile::kM; ++i) fa[i] = read_a<PieceA, kAlongA>(piece_a, row, i, depth);
#pragma unroll
      for (int j = 0; j < Tile::kN / 2; ++j) read_b<PieceB, kAlongB>(piece_b, column, j, depth, fb + 2 * j);
#pragma unroll
      for (int i = 0; i < Tile::kM; ++i) {
#pragma unroll
        for (int j = 0; j < Tile::kN; ++j) multiply_add<F>(sums[i][j], fa[i], fb[j]);
      }
      if constexpr (kSums) row_sums.add(fa, fb);
    }
  });
  if constexpr (kSums) row_sums.store(p, at.row + row, at.column + column);
  auto* out = reinterpret_cast<float*>(shared);
  const FinishPlace place = finish_place(p, at.batch);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    block_barrier();  // nobody reads what is overwritten now
    if (row / Tile::kHalf == half) {
#pragma unroll
      for (int i = 0; i < Tile::kM; ++i) {
#pragma unroll
        for (int j = 0; j < Tile::kN; ++j) {
          const int r = row % Tile::kHalf + 16 * i + lane / 4, c = column + 8 * j + lane % 4 * 2;
          float* to = out + r * kSumsStride<Tile::kColumns> + c;
          store_pack(to, Pack<float, 2>{{sums[i][j].r[0], sums[i][j].r[1]}});
          store_pack(to + 8 * kSumsStride<Tile::kColumns>, Pack<float, 2>{{sums[i][j].r[2], sums[i][j].r[3]}});
        }
      }
    }
    block_barrier();
    finish_tile<Tile::kHalf, Tile::kColumns, Tile::kThreads>(p, place, out, at.row + half * Tile::kHalf, at.column);
  }
}

}  // namespace mica::cuda::half_tile
