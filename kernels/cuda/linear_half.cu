// Products of float16 and bfloat16 factors on the matrix units, summed in float32.
//
// Operations: 2 m n k; bytes at least those of a, b and y. The floor is the matrix units' rate for large tiles
// (mma.sync reaches all of it on sm_80, some two thirds on sm_90, where linear_hopper.cu takes what it can), and the
// memory's for thin products.
// Why it is fast: a block multiplies 128 x 128 elements over pieces of 32 of the depth, so that each byte that comes
// from the second-level cache is used 128 times; three pieces in shared memory, of which two are on their way in the
// background while one is multiplied; ldmatrix from chunks that lie in different banks, transposing where a factor lies
// the other way; a warp's 64 x 32 sums stay in registers. The sums pass through shared memory at the end, so that bias,
// residual and y move in whole rows. Products with few tiles take tiles of 64 x 64: more blocks.
// An element's sum runs over the depth in steps of 16, whatever the tile: its bits depend on its row and column alone.

#include "mica/kernels/cuda/device/matrix.h"
#include "mica/kernels/cuda/linear_finish.h"
#include "mica/kernels/cuda/linear_tiles.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

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

template <typename F, typename Tile, Source kSourceA, bool kAlongA, Source kSourceB, bool kAlongB, bool kSums>
__global__ void __launch_bounds__(Tile::kThreads, kSourceA == Source::same && !kSums ? 2 : 1) half_kernel(Product p) {
  multiply_tile<F, Tile, kSourceA, kAlongA, kSourceB, kAlongB, kSums>(
      p, tile_place(p, block_x(), Tile::kRows, Tile::kColumns), &shared_memory<char>());
}

template <typename F, typename Tile, Source kSourceA, bool kAlongA, Source kSourceB, bool kAlongB, bool kSums = false>
void start(CudaDevice& on, const char* name, const Product& p) {
  launch(name, on.stream,
         {{tile_count(p, Tile::kRows, Tile::kColumns)}, {static_cast<unsigned>(Tile::kThreads)}, Tile::kSharedBytes},
         half_kernel<F, Tile, kSourceA, kAlongA, kSourceB, kAlongB, kSums>, p);
}

template <typename F, typename Tile, Source kSourceA, Source kSourceB>
void start(CudaDevice& on, const char* name, const Product& p) {
  const bool a = p.a.depth_stride == 1, b = p.b.depth_stride == 1;
  if (a && b) return start<F, Tile, kSourceA, true, kSourceB, true>(on, name, p);
  if (a) return start<F, Tile, kSourceA, true, kSourceB, false>(on, name, p);
  if (b) return start<F, Tile, kSourceA, false, kSourceB, true>(on, name, p);
  return start<F, Tile, kSourceA, false, kSourceB, false>(on, name, p);
}

// The fastest way in that both factors can take.
template <typename F, typename Tile>
void start(CudaDevice& on, const char* name, const Product& p) {
  const Source a = source_of(p.a, dtype_of<F>()), b = source_of(p.b, dtype_of<F>());
  if ((p.a_sums != nullptr || p.b_sums != nullptr) && sums_by_the_way(p, dtype_of<F>()))
    return start<F, Tile, Source::same, false, Source::same, false, true>(on, name, p);
  if (a == Source::same && b == Source::same) return start<F, Tile, Source::same, Source::same>(on, name, p);
  if constexpr (std::is_same_v<F, bfloat16>) {
    if (a == Source::float32 && b == Source::float32) {
      return start<F, Tile, Source::float32, Source::float32>(on, name, p);
    }
    if (a == Source::float32 && b == Source::same) return start<F, Tile, Source::float32, Source::same>(on, name, p);
  }
  return start<F, Tile, Source::any, true, Source::any, true>(on, name, p);
}

}  // namespace

void multiply_half(CudaDevice& on, const char* name, const Product& product, DType factors) {
  if (hopper_multiplies(on, product, factors)) return multiply_hopper(on, name, product, factors);
  const auto run = [&](auto zero) {
    using F = decltype(zero);
    // Fewer than a wave of large tiles leaves multiprocessors idle.
    if (tile_count(product, Large::kRows, Large::kColumns) >= static_cast<unsigned>(multiprocessors(on))) {
      start<F, Large>(on, name, product);
    } else {
      start<F, Small>(on, name, product);
    }
  };
  if (factors == DType::float16) return run(float16{});
  return run(bfloat16{});
}

}  // namespace mica::cuda
