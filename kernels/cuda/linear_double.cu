// Products in float64, of factors of any floating dtype: gradient checks and little else, so the plain form. A block
// keeps 32 x 32 elements, a thread 2 x 2 of them, over pieces of 16 of the depth. Sums run over the depth one by one.

#include "mica/kernels/cuda/linear_double_tile.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

using double_tile::kThreads;
using double_tile::kTile;
using double_tile::Pieces;

__global__ void double_kernel(Product p) {
  double_tile::multiply_tile(p, tile_place(p, block_x(), kTile, kTile), shared_memory<Pieces>());
}

}  // namespace

void multiply_double(CudaDevice& on, const char* name, const Product& product) {
  launch(name, on.stream, {{tile_count(product, kTile, kTile)}, {kThreads}, sizeof(Pieces)}, double_kernel, product);
}

}  // namespace mica::cuda
