// Products of all experts in float64: gradient checks and little else, by the tiles of linear_double.cu.

#include "mica/kernels/cuda/experts_tiles.h"
#include "mica/kernels/cuda/linear_double_tile.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

using double_tile::kThreads;
using double_tile::kTile;
using double_tile::Pieces;

__global__ void experts_double_kernel(ExpertsProduct g) {
  Product p;
  TilePlace at{};
  if (!find_tile(g, block_x(), kTile, kTile, p, at)) return;
  double_tile::multiply_tile(p, at, shared_memory<Pieces>());
}

__global__ void expert_gradients_double_kernel(ExpertsGradient g) {
  Product p = g.product;
  const TilePlace at = tile_place(p, block_x(), kTile, kTile);
  take_places(p, g.offsets, at.batch);
  double_tile::multiply_tile(p, at, shared_memory<Pieces>());
}

}  // namespace

void multiply_experts_double(CudaDevice& on, const ExpertsProduct& product) {
  launch("experts.product", on.stream, {{most_tiles(product, kTile, kTile)}, {kThreads}, sizeof(Pieces)},
         experts_double_kernel, product);
}

void expert_gradients_double(CudaDevice& on, const ExpertsGradient& gradient) {
  launch("experts.weight_gradients", on.stream,
         {{tile_count(gradient.product, kTile, kTile)}, {kThreads}, sizeof(Pieces)}, expert_gradients_double_kernel,
         gradient);
}

}  // namespace mica::cuda
