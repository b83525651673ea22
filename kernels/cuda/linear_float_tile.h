#pragma once
// A tile of a product of float32 factors: see linear_float.cu.

#include "mica/kernels/cuda/linear_finish.h"
#include "mica/kernels/cuda/linear_tiles.h"

namespace mica::cuda::float_tile {

constexpr int kDepth = 16, kStages = 3;

template <int kTileRows, int kTileColumns, int kThreadsDown, int kThreadsAcross>
struct FloatTile {
  static constexpr int kRows = kTileRows, kColumns = kTileColumns;
  static constexpr int kDown = kThreadsDown, kAcross = kThreadsAcross;
  static constexpr int kThreads = kThreadsDown * kThreadsAcross;
  static constexpr int kM = kTileRows / kThreadsDown, kN = kTileColumns / kThreadsAcross;  // sums of a thread
  static constexpr int kHalf = kTileRows / 2;  // rows whose sums are finished at once
  static constexpr int kABytes = kTileRows * kDepth * 4, kBBytes = kTileColumns * kDepth * 4;
  static constexpr int kSharedBytes = kStages * (kABytes + kBBytes);
  static_assert(kHalf * kSumsStride<kTileColumns> * 4 <= kSharedBytes);
  static_assert(kM % 8 == 0 && kN % 4 == 0 && kDown % 8 == 0 && kAcross % 8 == 0);
};
using Large = FloatTile<128, 128, 16, 16>;
using Small = FloatTile<64, 64, 8, 16>;

// The row of the tile that thread `t` of `kSide` keeps as its i-th. Of a factor along its depth neighbours have
// neighbouring rows; of one along its rows a thread has four side by side.
template <int kSide, bool kAlongDepth>
__device__ __forceinline__ int row_of(int t, int i) {
  return kAlongDepth ? t + kSide * i : i / 4 * (4 * kSide) + 4 * t + i % 4;
}

// Depths 2 c and 2 c + 1 of a thread's rows.
template <typename Piece, int kSide, int kCount, bool kAlongDepth>
__device__ __forceinline__ void read_two(char* piece, int t, int c, float (&values)[kCount][2]) {
  if constexpr (kAlongDepth) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const auto* from = reinterpret_cast<const float*>(Piece::chunk(piece, t, c / 2, kSide * i));
      const auto two = load_pack<2>(from + c % 2 * 2);
      values[i][0] = two.values[0];
      values[i][1] = two.values[1];
    }
  } else {
#pragma unroll
    for (int d = 0; d < 2; ++d) {
#pragma unroll
      for (int i = 0; i < kCount; i += 4) {
        const auto four =
            load_pack<4>(reinterpret_cast<const float*>(Piece::chunk(piece, 2 * c + d, t, 0, i / 4 * kSide)));
#pragma unroll
        for (int j = 0; j < 4; ++j) values[i + j][d] = four.values[j];
      }
    }
  }
}

// One tile of the product, at (row, column) of a batch; `shared` has kSharedBytes. Every thread of the block calls.
template <typename Tile, Source kSource, bool kAlongA, bool kAlongB, bool kSums>
__device__ __forceinline__ void multiply_tile(const Product& p, const TilePlace& at, char* shared) {
  using PieceA = Piece<float, Tile::kRows, kDepth, kAlongA>;
  using PieceB = Piece<float, Tile::kColumns, kDepth, kAlongB>;
  using LoaderA = PieceLoader<float, kSource, kAlongA, Tile::kRows, kDepth, Tile::kThreads>;
  using LoaderB = PieceLoader<float, kSource, kAlongB, Tile::kColumns, kDepth, Tile::kThreads>;
  const LoaderA a(p.a, batch_offset(p.a.batch_strides, at.batch, p.inner), at.row, p.m, p.k);
  const LoaderB b(p.b, batch_offset(p.b.batch_strides, at.batch, p.inner), at.column, p.n, p.k);
  const int down = static_cast<int>(thread_rank()) / Tile::kAcross;
  const int across = static_cast<int>(thread_rank()) % Tile::kAcross;
  float sums[Tile::kM][Tile::kN] = {};
  // Of the rows of a and of b, in the threads at the result's edge.
  const bool sum_a = kSums && p.a_sums != nullptr && at.column == 0 && across == 0;
  const bool sum_b = kSums && p.b_sums != nullptr && at.row == 0 && down == 0;
  float a_sums[kSums ? Tile::kM : 1] = {}, b_sums[kSums ? Tile::kN : 1] = {};
  over_depth<kDepth, kStages>(a, Tile::kABytes, b, Tile::kBBytes, shared, p.k, [&](char* piece_a, char* piece_b) {
#pragma unroll 2
    for (int c = 0; c < kDepth / 2; ++c) {
      float vb[Tile::kN][2];
      read_two<PieceB, Tile::kAcross, Tile::kN, kAlongB>(piece_b, across, c, vb);
      float va[Tile::kM][2];
      read_two<PieceA, Tile::kDown, Tile::kM, kAlongA>(piece_a, down, c, va);
#pragma unroll
      for (int d = 0; d < 2; ++d) {
#pragma unroll
        for (int i = 0; i < Tile::kM; ++i) {
#pragma unroll
          for (int j = 0; j < Tile::kN; ++j) sums[i][j] += va[i][d] * vb[j][d];
        }
        if constexpr (kSums) {
          if (sum_a) {
#pragma unroll
            for (int i = 0; i < Tile::kM; ++i) a_sums[i] += va[i][d];
          }
          if (sum_b) {
#pragma unroll
            for (int j = 0; j < Tile::kN; ++j) b_sums[j] += vb[j][d];
          }
        }
      }
    }
  });
  if constexpr (kSums) {
#pragma unroll
    for (int i = 0; i < Tile::kM; ++i) {
      const int64_t r = at.row + row_of<Tile::kDown, kAlongA>(down, i);
      if (sum_a && r < p.m) write_floating(p.a_sums, p.finish.dtype, r, a_sums[i]);
    }
#pragma unroll
    for (int j = 0; j < Tile::kN; ++j) {
      const int64_t c = at.column + row_of<Tile::kAcross, kAlongB>(across, j);
      if (sum_b && c < p.n) write_floating(p.b_sums, p.finish.dtype, c, b_sums[j]);
    }
  }
  auto* out = reinterpret_cast<float*>(shared);
  const FinishPlace place = finish_place(p, at.batch);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    block_barrier();  // nobody reads what is overwritten now
#pragma unroll
    for (int i = half * (Tile::kM / 2); i < (half + 1) * (Tile::kM / 2); ++i) {
      const int r = row_of<Tile::kDown, kAlongA>(down, i) - half * Tile::kHalf;
#pragma unroll
      for (int j = 0; j < Tile::kN; ++j) {
        out[r * kSumsStride<Tile::kColumns> + row_of<Tile::kAcross, kAlongB>(across, j)] = sums[i][j];
      }
    }
    block_barrier();
    finish_tile<Tile::kHalf, Tile::kColumns, Tile::kThreads>(p, place, out, at.row + half * Tile::kHalf, at.column);
  }
}

}  // namespace mica::cuda::float_tile
