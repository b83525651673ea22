// Products of all experts with float32 factors: the tiles of linear_float.cu, or, where no expert can have more than 16
// rows, those of linear_rows_float.cu. Bytes and operations: see experts_half.cu.

#include "mica/kernels/cuda/experts_tiles.h"
#include "mica/kernels/cuda/linear_float_tile.h"
#include "mica/kernels/cuda/linear_rows_float_tile.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

using float_tile::Large;
using float_tile::Small;

template <typename Tile, Source kSource, bool kAlongB>
__global__ void __launch_bounds__(Tile::kThreads, kSource == Source::same && kAlongB ? 2 : 1)
    experts_float_kernel(ExpertsProduct g) {
  Product p;
  TilePlace at{};
  if (!find_tile(g, block_x(), Tile::kRows, Tile::kColumns, p, at)) return;
  float_tile::multiply_tile<Tile, kSource, true, kAlongB, false>(p, at, &shared_memory<char>());
}

Source both(Source a, Source b) {
  return a == Source::same && b == Source::same ? Source::same : Source::any;
}

template <typename Tile>
void start(CudaDevice& on, const ExpertsProduct& g) {
  const Product& p = g.product;
  const LaunchShape shape{
      {most_tiles(g, Tile::kRows, Tile::kColumns)}, {static_cast<unsigned>(Tile::kThreads)}, Tile::kSharedBytes};
  const auto run = [&](auto kernel) { launch("experts.product", on.stream, shape, kernel, g); };
  const Source source = both(source_of(p.a, DType::float32), source_of(p.b, DType::float32));
  if (!g.aligned || source == Source::any) return run(experts_float_kernel<Tile, Source::any, true>);
  if (p.b.depth_stride == 1) return run(experts_float_kernel<Tile, Source::same, true>);
  run(experts_float_kernel<Tile, Source::same, false>);
}

template <typename W, int kRows, bool kWideRows>
__global__ void __launch_bounds__(rows_float::kThreads) experts_rows_float_kernel(ExpertsProduct g) {
  Product p;
  TilePlace at{};
  if (!find_tile(g, block_x(), kRows, rows_float::kOuts, p, at)) return;
  rows_float::multiply_few_rows<W, kRows, kWideRows>(p, at);
}

template <typename W, int kRows, bool kWideRows>
void start_rows(CudaDevice& on, const ExpertsProduct& g) {
  launch("experts.product", on.stream,
         {{most_tiles(g, kRows, rows_float::kOuts)}, {rows_float::kThreads}, rows_float::kSharedBytes<kRows>},
         experts_rows_float_kernel<W, kRows, kWideRows>, g);
}

template <typename W>
void start_rows(CudaDevice& on, const ExpertsProduct& g) {
  const Product& p = g.product;
  const bool wide = p.k % kWide<W> == 0 && g.aligned && source_of(p.a, DType::float32) == Source::same &&
                    source_of(p.b, dtype_of<W>()) == Source::same;
  if (!wide) return start_rows<W, 4, false>(on, g);  // sizes of no model: one kernel for all
  if (g.most_rows == 1) return start_rows<W, 1, true>(on, g);
  return g.most_rows <= 4 ? start_rows<W, 4, true>(on, g) : start_rows<W, 16, true>(on, g);
}

template <typename Tile, Source kSource>
__global__ void __launch_bounds__(Tile::kThreads, kSource == Source::same ? 2 : 1)
    expert_gradients_float_kernel(ExpertsGradient g) {
  Product p = g.product;
  const TilePlace at = tile_place(p, block_x(), Tile::kRows, Tile::kColumns);
  take_places(p, g.offsets, at.batch);
  constexpr bool kAlong = kSource == Source::any;  // the depth
  float_tile::multiply_tile<Tile, kSource, kAlong, kAlong, false>(p, at, &shared_memory<char>());
}

template <typename Tile>
void start_gradients(CudaDevice& on, const ExpertsGradient& g) {
  const Product& p = g.product;
  const LaunchShape shape{
      {tile_count(p, Tile::kRows, Tile::kColumns)}, {static_cast<unsigned>(Tile::kThreads)}, Tile::kSharedBytes};
  const auto run = [&](auto kernel) { launch("experts.weight_gradients", on.stream, shape, kernel, g); };
  const bool by_rows = p.a.depth_stride != 1 && p.b.depth_stride != 1;
  if (by_rows && both(source_of(p.a, DType::float32), source_of(p.b, DType::float32)) == Source::same) {
    return run(expert_gradients_float_kernel<Tile, Source::same>);
  }
  run(expert_gradients_float_kernel<Tile, Source::any>);
}

}  // namespace

void multiply_experts_float(CudaDevice& on, const ExpertsProduct& product) {
  const Product& p = product.product;
  if (product.most_rows <= kFewRows && p.b.depth_stride == 1) {
    return p.b.dtype == DType::float32 ? start_rows<float>(on, product) : start_rows<float16>(on, product);
  }
  const bool large = p.m >= product.experts * Large::kRows / 2 &&
                     most_tiles(product, Large::kRows, Large::kColumns) >= static_cast<unsigned>(multiprocessors(on));
  return large ? start<Large>(on, product) : start<Small>(on, product);
}

void expert_gradients_float(CudaDevice& on, const ExpertsGradient& gradient) {
  if (tile_count(gradient.product, Large::kRows, Large::kColumns) >= static_cast<unsigned>(multiprocessors(on))) {
    start_gradients<Large>(on, gradient);
  } else {
    start_gradients<Small>(on, gradient);
  }
}

}  // namespace mica::cuda
