// Products of up to 16 rows with a 16-bit weight, as decoding makes them.
//
// Bytes: the weight, once; at the memory's bandwidth that is the floor.
// Why it is fast: a block takes 16 outputs, its 8 warps share out the depth; a lane reads 16 bytes of a weight's row at
// a time, eight such reads before it uses the first, straight into the registers of the matrix unit: which depth stands
// in which place of a fragment does not matter as long as the rows of a stand there in the same order. So nothing
// passes through shared memory but the warps' sums, and up to 16 rows cost the same reads as one.
// Sums: in a warp over its depths in steps of 16, then over the warps in order, whatever the number of rows and however
// the factors lie.

#include "mica/kernels/cuda/linear_rows_half_tile.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

using rows_half::kOuts;
using rows_half::kSharedBytes;
using rows_half::kThreads;

template <typename F, Source kSourceX, Source kSourceW, int kTiles>
__global__ void __launch_bounds__(kThreads) rows_half_kernel(Product p) {
  rows_half::multiply_few_rows<F, kSourceX, kSourceW, kTiles>(p, {0, 0, int64_t{block_x()} * kOuts});
}

template <typename F, Source kSourceX, Source kSourceW>
void start(CudaDevice& on, const char* name, const Product& p) {
  const LaunchShape shape{{static_cast<unsigned>(ceil_div(p.n, kOuts))}, {kThreads}, 0};
  if (p.m <= 8) {
    launch(name, on.stream, {shape.grid, shape.block, kSharedBytes<1>}, rows_half_kernel<F, kSourceX, kSourceW, 1>, p);
  } else {
    launch(name, on.stream, {shape.grid, shape.block, kSharedBytes<2>}, rows_half_kernel<F, kSourceX, kSourceW, 2>, p);
  }
}

template <typename F>
void start(CudaDevice& on, const char* name, const Product& p) {
  const bool whole = p.k % 8 == 0 && p.a.depth_stride == 1 && p.b.depth_stride == 1;
  const Source x = source_of(p.a, dtype_of<F>()), w = source_of(p.b, dtype_of<F>());
  if (whole && w == Source::same) {
    if (x == Source::same) return start<F, Source::same, Source::same>(on, name, p);
    if constexpr (std::is_same_v<F, bfloat16>) {
      if (x == Source::float32) return start<F, Source::float32, Source::same>(on, name, p);
    }
  }
  return start<F, Source::any, Source::any>(on, name, p);
}

}  // namespace

void multiply_rows_half(CudaDevice& on, const char* name, const Product& product, DType factors) {
  if (factors == DType::float16) return start<float16>(on, name, product);
  return start<bfloat16>(on, name, product);
}

}  // namespace mica::cuda
