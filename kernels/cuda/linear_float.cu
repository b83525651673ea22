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

#include "mica/kernels/cuda/linear_float_tile.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

using float_tile::Large;
using float_tile::Small;

template <typename Tile, Source kSource, bool kAlongA, bool kAlongB, bool kSums>
__global__ void __launch_bounds__(Tile::kThreads, kSource == Source::same ? 2 : 1) float_kernel(Product p) {
  float_tile::multiply_tile<Tile, kSource, kAlongA, kAlongB, kSums>(
      p, tile_place(p, block_x(), Tile::kRows, Tile::kColumns), &shared_memory<char>());
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
