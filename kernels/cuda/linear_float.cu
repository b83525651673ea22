// Products of float32 factors in true float32, without the matrix units.
//
// Operations: 2 m n k, at the rate of the float32 units, which is the floor for all but thin products.
// Why it is fast: a block multiplies 128 x 128 elements over pieces of 16 of the depth, three of which lie in shared
// memory, two of them on their way in the background while one is multiplied; a thread keeps 8 x 8 sums in registers.
// A factor that lies along its depth is read as it lies, two depths of a row at a time, and needs no transposition: 16
// reads for 128 multiply-adds; one that lies along its rows four rows at a time: half as many. Products with few tiles
// take tiles of 64 x 64.
// An element's sum runs over the depth one by one, whatever the tile and however the factors lie: its bits depend on
// its row and column alone.

#include "mica/kernels/cuda/linear_finish.h"
#include "mica/kernels/cuda/linear_tiles.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

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

template <typename Tile, Source kSource, bool kAlongA, bool kAlongB, bool kSums>
__global__ void __launch_bounds__(Tile::kThreads, kSource == Source::same ? 2 : 1) float_kernel(Product p) {
  multiply_tile<Tile, kSource, kAlongA, kAlongB, kSums>(p, tile_place(p, block_x(), Tile::kRows, Tile::kColumns),
                                                        &shared_memory<char>());
}

template <typename Tile, Source kSource, bool kAlongA, bool kAlongB, bool kSums = false>
void start(CudaDevice& on, const char* name, const Product& p) {
  launch(name, on.stream,
         {{tile_count(p, Tile::kRows, Tile::kColumns)}, {static_cast<unsigned>(Tile::kThreads)}, Tile::kSharedBytes},
         float_kernel<Tile, kSource, kAlongA, kAlongB, kSums>, p);
}

template <typename Tile>
void start(CudaDevice& on, const char* name, const Product& p) {
  if (source_of(p.a, DType::float32) != Source::same || source_of(p.b, DType::float32) != Source::same) {
    return start<Tile, Source::any, true, true>(on, name, p);
  }
  if ((p.a_sums != nullptr || p.b_sums != nullptr) && sums_by_the_way(p, DType::float32))
    return start<Tile, Source::same, false, false, true>(on, name, p);
  const bool a = p.a.depth_stride == 1, b = p.b.depth_stride == 1;
  if (a && b) return start<Tile, Source::same, true, true>(on, name, p);
  if (a) return start<Tile, Source::same, true, false>(on, name, p);
  if (b) return start<Tile, Source::same, false, true>(on, name, p);
  return start<Tile, Source::same, false, false>(on, name, p);
}

}  // namespace

void multiply_float(CudaDevice& on, const char* name, const Product& product) {
  // Fewer than a wave of large tiles leaves multiprocessors idle.
  if (tile_count(product, Large::kRows, Large::kColumns) >= static_cast<unsigned>(multiprocessors(on))) {
    start<Large>(on, name, product);
  } else {
    start<Small>(on, name, product);
  }
}

}  // namespace mica::cuda
