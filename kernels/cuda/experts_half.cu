// Products of all experts with float16 and bfloat16 factors: the tiles of linear_half.cu, or, where no expert can have
// more than 16 rows, those of linear_rows_half.cu, which read each weight once.
//
// Operations: 2 in out a row and expert of it; bytes those of the weights of experts that have rows, once a tile of
// rows. A decoding step's floor is the memory's rate: no weight of an expert without rows is touched. Gradients of the
// weights are products over each expert's rows, whose sums run in their order.

#include "mica/kernels/cuda/experts_tiles.h"
#include "mica/kernels/cuda/linear_half_tile.h"
#include "mica/kernels/cuda/linear_rows_half_tile.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

using half_tile::Large;
using half_tile::Small;

template <typename F, typename Tile, Source kSourceA, Source kSourceB, bool kAlongB>
__global__ void __launch_bounds__(Tile::kThreads, kSourceA == Source::same && kSourceB == Source::same ? 2 : 1)
    experts_half_kernel(ExpertsProduct g) {
  Product p;
  TilePlace at{};
  if (!find_tile(g, block_x(), Tile::kRows, Tile::kColumns, p, at)) return;
  half_tile::multiply_tile<F, Tile, kSourceA, true, kSourceB, kAlongB, false>(p, at, &shared_memory<char>());
}

template <typename F, typename Tile, Source kSourceA, Source kSourceB>
void start(CudaDevice& on, const ExpertsProduct& g) {
  const LaunchShape shape{
      {most_tiles(g, Tile::kRows, Tile::kColumns)}, {static_cast<unsigned>(Tile::kThreads)}, Tile::kSharedBytes};
  if (g.product.b.depth_stride == 1 || kSourceB == Source::any) {
    launch("experts.product", on.stream, shape, experts_half_kernel<F, Tile, kSourceA, kSourceB, true>, g);
  } else {
    launch("experts.product", on.stream, shape, experts_half_kernel<F, Tile, kSourceA, kSourceB, false>, g);
  }
}

template <typename F, typename Tile>
void start(CudaDevice& on, const ExpertsProduct& g) {
  const Source a = source_of(g.product.a, dtype_of<F>());
  const Source b = g.aligned ? source_of(g.product.b, dtype_of<F>()) : Source::any;
  if (a == Source::same && b == Source::same) return start<F, Tile, Source::same, Source::same>(on, g);
  if constexpr (std::is_same_v<F, bfloat16>) {
    if (a == Source::same && b == Source::float32) return start<F, Tile, Source::same, Source::float32>(on, g);
    if (a == Source::float32 && b == Source::same) return start<F, Tile, Source::float32, Source::same>(on, g);
    if (a == Source::float32 && b == Source::float32) return start<F, Tile, Source::float32, Source::float32>(on, g);
  }
  return start<F, Tile, Source::any, Source::any>(on, g);
}

template <typename F, Source kSource, int kTiles>
__global__ void __launch_bounds__(rows_half::kThreads) experts_rows_half_kernel(ExpertsProduct g) {
  Product p;
  TilePlace at{};
  if (!find_tile(g, block_x(), 8 * kTiles, rows_half::kOuts, p, at)) return;
  rows_half::multiply_few_rows<F, kSource, kSource, kTiles>(p, at);
}

template <typename F, Source kSource>
void start_rows(CudaDevice& on, const ExpertsProduct& g) {
  const auto run = [&]<int kTiles>(std::integral_constant<int, kTiles> /*tiles*/) {
    launch("experts.product", on.stream,
           {{most_tiles(g, 8 * kTiles, rows_half::kOuts)}, {rows_half::kThreads}, rows_half::kSharedBytes<kTiles>},
           experts_rows_half_kernel<F, kSource, kTiles>, g);
  };
  if (g.most_rows <= 8) return run(std::integral_constant<int, 1>{});
  run(std::integral_constant<int, 2>{});
}

template <typename F>
void start(CudaDevice& on, const ExpertsProduct& g) {
  const Product& p = g.product;
  if (g.most_rows <= kFewRows && p.b.depth_stride == 1) {
    const bool same = p.k % 8 == 0 && g.aligned && source_of(p.a, dtype_of<F>()) == Source::same &&
                      source_of(p.b, dtype_of<F>()) == Source::same;
    return same ? start_rows<F, Source::same>(on, g) : start_rows<F, Source::any>(on, g);
  }
  // Large tiles where experts have rows for them, and there is a wave of them.
  const bool large = p.m >= g.experts * Large::kRows / 2 &&
                     most_tiles(g, Large::kRows, Large::kColumns) >= static_cast<unsigned>(multiprocessors(on));
  return large ? start<F, Large>(on, g) : start<F, Small>(on, g);
}

template <typename F, typename Tile, Source kSource>
__global__ void __launch_bounds__(Tile::kThreads, kSource == Source::same ? 2 : 1)
    expert_gradients_half_kernel(ExpertsGradient g) {
  Product p = g.product;
  const TilePlace at = tile_place(p, block_x(), Tile::kRows, Tile::kColumns);
  take_places(p, g.offsets, at.batch);
  constexpr bool kAlong = kSource == Source::any;  // the depth
  half_tile::multiply_tile<F, Tile, kSource, kAlong, kSource, kAlong, false>(p, at, &shared_memory<char>());
}

template <typename F, typename Tile>
void start_gradients(CudaDevice& on, const ExpertsGradient& g) {
  const Product& p = g.product;
  const LaunchShape shape{
      {tile_count(p, Tile::kRows, Tile::kColumns)}, {static_cast<unsigned>(Tile::kThreads)}, Tile::kSharedBytes};
  const Source a = source_of(p.a, dtype_of<F>()), b = source_of(p.b, dtype_of<F>());
  const auto run = [&](auto kernel) { launch("experts.weight_gradients", on.stream, shape, kernel, g); };
  const bool by_rows = p.a.depth_stride != 1 && p.b.depth_stride != 1;
  if (by_rows && a == Source::same && b == Source::same) {
    return run(expert_gradients_half_kernel<F, Tile, Source::same>);
  }
  if constexpr (std::is_same_v<F, bfloat16>) {
    if (by_rows && a == Source::float32 && b == Source::float32) {
      return run(expert_gradients_half_kernel<F, Tile, Source::float32>);
    }
  }
  run(expert_gradients_half_kernel<F, Tile, Source::any>);
}

}  // namespace

void multiply_experts_half(CudaDevice& on, const ExpertsProduct& product, DType factors) {
  if (factors == DType::float16) return start<float16>(on, product);
  return start<bfloat16>(on, product);
}

void expert_gradients_half(CudaDevice& on, const ExpertsGradient& gradient, DType factors) {
  const auto run = [&](auto zero) {
    using F = decltype(zero);
    if (tile_count(gradient.product, Large::kRows, Large::kColumns) >= static_cast<unsigned>(multiprocessors(on))) {
      start_gradients<F, Large>(on, gradient);
    } else {
      start_gradients<F, Small>(on, gradient);
    }
  };
  if (factors == DType::float16) return run(float16{});
  run(bfloat16{});
}

}  // namespace mica::cuda
