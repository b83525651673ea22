#pragma once
// Products of all experts in one launch: how a block finds its expert and its tile, by offsets that the host does not
// know. The tile is then multiplied as that of any other product (linear_*_tile.h).
//
// There are as many blocks as the rows could need however they are shared out, which is at most a tile more for each
// expert than they would need together; those that find no tile leave at once. Finding takes each warp a scan over the
// experts' counts, 32 at a time.

#include <algorithm>

#include "mica/kernels/cuda/device/scan.h"
#include "mica/kernels/cuda/linear_product.h"

namespace mica::cuda {

/// Parts are batches: product.inner of them, b without data. A part of an expert has rows of its own in a and y, and
/// its own b and bias.
struct ExpertsProduct {
  Product product;
  const int32_t* offsets;           // [experts + 1]
  const int64_t *weights, *biases;  // [parts, experts] addresses; biases may be null
  int64_t experts;
  int64_t most_rows;  ///< of an expert
  bool aligned;       ///< weights, to 16 bytes
};

/// Rows [begin, end) of an expert, the first of them in this tile of rows of all; -1: no expert has so many.
struct ExpertRange {
  int expert, begin, end, first_tile;
};
__device__ __forceinline__ ExpertRange find_expert(const int32_t* offsets, int64_t experts, int64_t tile,
                                                   int tile_rows) {
  int before = 0;  // tiles of the experts so far
  for (int64_t first = 0; first < experts; first += kWarp) {
    const int64_t mine = first + lane_index();
    const int begin = mine < experts ? offsets[mine] : 0, end = mine < experts ? offsets[mine + 1] : 0;
    const int tiles = (end - begin + tile_rows - 1) / tile_rows, up_to = before + scan_lanes(tiles);
    const uint32_t reached = ballot(tile < up_to);
    if (reached != 0) {
      const unsigned lane = first_lane(reached);
      return {static_cast<int>(first + lane), shuffle(begin, lane), shuffle(end, lane), shuffle(up_to - tiles, lane)};
    }
    before = shuffle(up_to, kWarp - 1);
  }
  return {-1, 0, 0, 0};
}

/// The block's tile and its product; false where there is none for it, which is the same for the whole block.
__device__ __forceinline__ bool find_tile(const ExpertsProduct& g, int64_t block, int tile_rows, int tile_columns,
                                          Product& p, TilePlace& at) {
  p = g.product;
  const int64_t columns = (p.n + tile_columns - 1) / tile_columns, across = columns * p.inner;
  const ExpertRange range = find_expert(g.offsets, g.experts, block / across, tile_rows);
  if (range.expert < 0) return false;
  const int64_t rows = (range.end - range.begin + tile_rows - 1) / tile_rows;
  at = tile_place(rows, columns, block - range.first_tile * across, tile_rows, tile_columns);
  at.row += range.begin;
  p.m = range.end;
  const int64_t matrix = at.batch * g.experts + range.expert;
  p.b.data = reinterpret_cast<const void*>(g.weights[matrix]);
  if (g.biases != nullptr) p.finish.bias.data = reinterpret_cast<const void*>(g.biases[matrix]);
  return true;
}

/// Blocks for find_tile().
inline unsigned most_tiles(const ExpertsProduct& g, int64_t tile_rows, int64_t tile_columns) {
  const Product& p = g.product;
  const int64_t spread = p.m <= g.experts ? p.m : g.experts + (p.m - g.experts) / tile_rows;
  const int64_t rows = std::min(spread, g.experts * ((g.most_rows + tile_rows - 1) / tile_rows));
  return static_cast<unsigned>(rows * ((p.n + tile_columns - 1) / tile_columns) * p.inner);
}

/// Products over the places of each expert, of which there is a batch for each part and expert: leaves those of the
/// batch's expert.
struct ExpertsGradient {
  Product product;  ///< inner: experts; k: all places
  const int32_t* offsets;
};
__device__ __forceinline__ void take_places(Product& p, const int32_t* offsets, int64_t batch) {
  const int64_t expert = batch % p.inner, begin = offsets[expert];
  p.k = offsets[expert + 1] - begin;
  const auto from = [begin](Factor& factor) {
    factor.data = static_cast<const char*>(factor.data) + begin * factor.depth_stride * item_size(factor.dtype);
  };
  from(p.a);
  from(p.b);
}

/// Each puts the products on the stream, as multiply_float() and the others do.
void multiply_experts_float(CudaDevice& on, const ExpertsProduct& product);
void multiply_experts_double(CudaDevice& on, const ExpertsProduct& product);
void multiply_experts_half(CudaDevice& on, const ExpertsProduct& product, DType factors);
void expert_gradients_float(CudaDevice& on, const ExpertsGradient& gradient);
void expert_gradients_double(CudaDevice& on, const ExpertsGradient& gradient);
void expert_gradients_half(CudaDevice& on, const ExpertsGradient& gradient, DType factors);

}  // namespace mica::cuda
