// Products of up to 16 rows with a 16-bit weight, as decoding makes them.
//
// Bytes: the weight, once; at the memory's bandwidth that is the floor.
// Why it is fast: a block takes 16 outputs, its 8 warps share out the depth; a lane reads 16 bytes of a weight's row at
// a time, eight such reads before it uses the first, straight into the registers of the matrix unit: which depth stands
// in which place of a fragment does not matter as long as the rows of a stand there in the same order. So nothing
// passes through shared memory but the warps' sums, and up to 16 rows cost the same reads as one.
// Sums: in a warp over its depths in steps of 16, then over the warps in order, whatever the number of rows and however
// the factors lie.

#include "mica/kernels/cuda/device/matrix.h"
#include "mica/kernels/cuda/device/stream.h"
#include "mica/kernels/cuda/linear_finish.h"
#include "mica/kernels/cuda/linear_tiles.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

constexpr int kOuts = 16, kWarps = 8, kThreads = kWarps * static_cast<int>(kWarp);
constexpr int kStep = 32;   // depth that a warp reads at once: 8 elements for each of the 4 lanes of a row
constexpr int kAtOnce = 4;  // steps

using Words = Pack<uint32_t, 4>;  // 8 elements

// Elements [depth, depth + 8) of a row; zeros behind the last. A row outside reads as the last one: what it adds to is
// not stored.
template <typename F, Source kSource, bool kOnce>
__device__ __forceinline__ Words read_eight(const Factor& factor, int64_t row, int64_t rows, int64_t depth,
                                            int64_t depths) {
  Words words;
  if (row >= rows) row = rows - 1;
  if constexpr (kSource == Source::same) {
    const bool inside = depth < depths;
    const auto* from = static_cast<const F*>(factor.data) + row * factor.row_stride + (inside ? depth : 0);
    words = kOnce ? load_once(from) : load_pack<4>(reinterpret_cast<const uint32_t*>(from));
#pragma unroll
    for (int i = 0; i < 4; ++i) words.values[i] = inside ? words.values[i] : 0;
  } else if constexpr (kSource == Source::float32) {
    const bool inside = depth < depths;
    const float* from = static_cast<const float*>(factor.data) + row * factor.row_stride + (inside ? depth : 0);
    const auto low = load_pack<4>(from), high = load_pack<4>(from + 4);
    words = {{pack_two<F>(low.values[0], low.values[1]), pack_two<F>(low.values[2], low.values[3]),
              pack_two<F>(high.values[0], high.values[1]), pack_two<F>(high.values[2], high.values[3])}};
#pragma unroll
    for (int i = 0; i < 4; ++i) words.values[i] = inside ? words.values[i] : 0;
  } else {
    float values[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      values[i] = depth + i < depths ? read_floating<float>(factor.data, factor.dtype,
                                                            row * factor.row_stride + (depth + i) * factor.depth_stride)
                                     : 0.0F;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) words.values[i] = pack_two<F>(values[2 * i], values[2 * i + 1]);
  }
  return words;
}

// kTiles times 8 rows of a.
template <typename F, Source kSourceX, Source kSourceW, int kTiles>
__global__ void __launch_bounds__(kThreads) rows_half_kernel(Product p) {
  struct Sums {
    float of[kWarps][8 * kTiles][kOuts];
  };
  Sums& shared = shared_memory<Sums>();
  const int warp = static_cast<int>(warp_index()), lane = static_cast<int>(lane_index());
  const int g = lane / 4, t = lane % 4;
  const int64_t first = int64_t{block_x()} * kOuts;
  FragmentC sums[kTiles] = {};
  for (int64_t from = int64_t{warp} * kStep * kAtOnce; from < p.k; from += int64_t{kWarps} * kStep * kAtOnce) {
    Words w[kAtOnce][2], x[kAtOnce][kTiles];
#pragma unroll
    for (int s = 0; s < kAtOnce; ++s) {
      const int64_t depth = from + kStep * s + 8 * t;
#pragma unroll
      for (int i = 0; i < 2; ++i) w[s][i] = read_eight<F, kSourceW, true>(p.b, first + g + 8 * i, p.n, depth, p.k);
#pragma unroll
      for (int i = 0; i < kTiles; ++i) x[s][i] = read_eight<F, kSourceX, false>(p.a, g + 8 * i, p.m, depth, p.k);
    }
#pragma unroll
    for (int s = 0; s < kAtOnce; ++s) {
#pragma unroll
      for (int h = 0; h < 4; h += 2) {
        const FragmentA a{{w[s][0].values[h], w[s][1].values[h], w[s][0].values[h + 1], w[s][1].values[h + 1]}};
#pragma unroll
        for (int i = 0; i < kTiles; ++i) {
          multiply_add<F>(sums[i], a, FragmentB{{x[s][i].values[h], x[s][i].values[h + 1]}});
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) shared.of[warp][8 * i + 2 * t + j % 2][g + j / 2 * 8] = sums[i].r[j];
  }
  block_barrier();
  const int e = static_cast<int>(thread_rank()), row = e / kOuts, out = e % kOuts;
  if (row >= p.m || row >= 8 * kTiles || first + out >= p.n) return;
  float sum = shared.of[0][row][out];
  for (int w = 1; w < kWarps; ++w) sum += shared.of[w][row][out];
  finish_one(p.finish, {0, 0}, row, first + out, sum);
}

template <typename F, Source kSourceX, Source kSourceW>
void start(CudaDevice& on, const char* name, const Product& p) {
  const LaunchShape shape{{static_cast<unsigned>(ceil_div(p.n, kOuts))}, {kThreads}, 0};
  const auto bytes = [](int tiles) { return int64_t{4} * kWarps * 8 * tiles * kOuts; };
  if (p.m <= 8) {
    launch(name, on.stream, {shape.grid, shape.block, bytes(1)}, rows_half_kernel<F, kSourceX, kSourceW, 1>, p);
  } else {
    launch(name, on.stream, {shape.grid, shape.block, bytes(2)}, rows_half_kernel<F, kSourceX, kSourceW, 2>, p);
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
