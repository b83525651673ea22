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

#include "mica/kernels/cuda/linear_half_tile.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

using half_tile::Large;
using half_tile::Small;

template <typename F, typename Tile, Source kSourceA, bool kAlongA, Source kSourceB, bool kAlongB, bool kSums>
__global__ void __launch_bounds__(Tile::kThreads, kSourceA == Source::same && !kSums ? 2 : 1) half_kernel(Product p) {
  half_tile::multiply_tile<F, Tile, kSourceA, kAlongA, kSourceB, kAlongB, kSums>(
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
