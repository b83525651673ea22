// Products of up to 16 rows with a weight of float32, or one of float16 that is widened, as decoding makes them.
//
// Bytes: the weight, once; at the memory's bandwidth that is the floor (the multiply-adds of 16 rows take about as
// long).
// Why it is fast: a block takes 4 outputs, its 8 warps share out the depth; a lane reads 16 bytes of each of the 4 rows
// of the weight, a warp 512 bytes in a row, and multiplies them with every row of a, which stay in the first-level
// cache.
// Sums: a lane over its depths in order, then over the lanes of the warp and the warps in a fixed order, whatever the
// number of rows and however the factors lie.

#include "mica/kernels/cuda/linear_rows_float_tile.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

using rows_float::kOuts;
using rows_float::kSharedBytes;
using rows_float::kThreads;

template <typename W, int kRows, bool kWideRows>
__global__ void __launch_bounds__(kThreads) rows_float_kernel(Product p) {
  rows_float::multiply_few_rows<W, kRows, kWideRows>(p, {0, 0, int64_t{block_x()} * kOuts});
}

template <typename W, int kRows, bool kWideRows>
void start(CudaDevice& on, const char* name, const Product& p) {
  launch(name, on.stream, {{static_cast<unsigned>(ceil_div(p.n, kOuts))}, {kThreads}, kSharedBytes<kRows>},
         rows_float_kernel<W, kRows, kWideRows>, p);
}

template <typename W>
void start(CudaDevice& on, const char* name, const Product& p) {
  const bool whole = p.k % kWide<W> == 0 && p.a.depth_stride == 1 && p.b.depth_stride == 1;
  const bool wide =
      whole && source_of(p.a, DType::float32) == Source::same && source_of(p.b, dtype_of<W>()) == Source::same;
  if (!wide) return p.m <= 4 ? start<W, 4, false>(on, name, p) : start<W, 16, false>(on, name, p);
  if (p.m == 1) return start<W, 1, true>(on, name, p);
  if (p.m <= 4) return start<W, 4, true>(on, name, p);
  if (p.m <= 8) return start<W, 8, true>(on, name, p);
  return start<W, 16, true>(on, name, p);
}

}  // namespace

void multiply_rows_float(CudaDevice& on, const char* name, const Product& product) {
  if (product.b.dtype == DType::float32) return start<float>(on, name, product);
  return start<float16>(on, name, product);
}

}  // namespace mica::cuda
