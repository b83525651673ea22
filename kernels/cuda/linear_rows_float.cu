// Products of up to 16 rows with a weight of float32, or one of float16 that is widened, as decoding makes them.
//
// Bytes: the weight, once; at the memory's bandwidth that is the floor (the multiply-adds of 16 rows take about as
// long).
// Why it is fast: a block takes 4 outputs, its 8 warps share out the depth; a lane reads 16 bytes of each of the 4 rows
// of the weight, a warp 512 bytes in a row, and multiplies them with every row of a, which stay in the first-level
// cache.
// Sums: a lane over its depths in order, then over the lanes of the warp and the warps in a fixed order, whatever the
// number of rows and however the factors lie.

#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/linear_finish.h"
#include "mica/kernels/cuda/linear_tiles.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

constexpr int kOuts = 4, kWarps = 8, kThreads = kWarps * static_cast<int>(kWarp);

// kChunk elements of a row from `depth` on as float32; zeros outside.
template <typename T, int kChunk, bool kWideRows>
__device__ __forceinline__ void read_chunk(const Factor& factor, int64_t row, int64_t rows, int64_t depth,
                                           int64_t depths, float (&values)[kChunk]) {
  if constexpr (kWideRows) {
    constexpr int kPack = kWide<T> < kChunk ? kWide<T> : kChunk;
    const bool inside = row < rows && depth < depths;
    const T* from = static_cast<const T*>(factor.data) + row * factor.row_stride + depth;
#pragma unroll
    for (int part = 0; part < kChunk; part += kPack) {
      Pack<T, kPack> pack{};
      if (inside) pack = load_pack<kPack>(from + part);
#pragma unroll
      for (int i = 0; i < kPack; ++i) values[part + i] = widen(pack.values[i]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      const bool inside = row < rows && depth + i < depths;
      values[i] = inside ? read_floating<float>(factor.data, factor.dtype,
                                                row * factor.row_stride + (depth + i) * factor.depth_stride)
                         : 0.0F;
    }
  }
}

// W: float32 in chunks of 4, or of 16 bits in chunks of 8; wide only of float16.
template <typename W, int kRows, bool kWideRows>
__global__ void __launch_bounds__(kThreads) rows_float_kernel(Product p) {
  struct Sums {
    float of[kWarps][kRows * kOuts];
  };
  Sums& shared = shared_memory<Sums>();
  constexpr int kChunk = kWide<W>;
  const int warp = static_cast<int>(warp_index()), lane = static_cast<int>(lane_index());
  const int64_t first = int64_t{block_x()} * kOuts;
  constexpr int64_t kStep = int64_t{kWarp} * kChunk;
  float sums[kRows][kOuts] = {};
  for (int64_t from = warp * kStep; from < p.k; from += kWarps * kStep) {
    const int64_t depth = from + lane * kChunk;
    float w[kOuts][kChunk];
#pragma unroll
    for (int o = 0; o < kOuts; ++o) read_chunk<W, kChunk, kWideRows>(p.b, first + o, p.n, depth, p.k, w[o]);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float x[kChunk];
      read_chunk<float, kChunk, kWideRows>(p.a, r, p.m, depth, p.k, x);
#pragma unroll
      for (int o = 0; o < kOuts; ++o) {
#pragma unroll
        for (int i = 0; i < kChunk; ++i) sums[r][o] += x[i] * w[o][i];
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int o = 0; o < kOuts; ++o) {
      const float sum = combine_lanes(sums[r][o], Add{});
      if (lane == 0) shared.of[warp][r * kOuts + o] = sum;
    }
  }
  block_barrier();
  const int e = static_cast<int>(thread_rank()), row = e / kOuts, out = e % kOuts;
  if (row >= p.m || row >= kRows || first + out >= p.n) return;
  float sum = shared.of[0][e];
  for (int w = 1; w < kWarps; ++w) sum += shared.of[w][e];
  finish_one(p.finish, {0, 0}, row, first + out, sum);
}

template <typename W, int kRows, bool kWideRows>
void start(CudaDevice& on, const char* name, const Product& p) {
  launch(name, on.stream,
         {{static_cast<unsigned>(ceil_div(p.n, kOuts))}, {kThreads}, int64_t{4} * kWarps * kRows * kOuts},
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
