#pragma once
// A few rows times some rows of a 16-bit weight: see linear_rows_half.cu.

#include "mica/kernels/cuda/device/matrix.h"
#include "mica/kernels/cuda/device/stream.h"
#include "mica/kernels/cuda/linear_finish.h"
#include "mica/kernels/cuda/linear_tiles.h"

namespace mica::cuda::rows_half {

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

template <int kTiles>
constexpr int64_t kSharedBytes = int64_t{4} * kWarps * 8 * kTiles* kOuts;

/// kTiles times 8 rows of a and kOuts rows of b, from (row, column) of the result on. Every thread of the block calls.
template <typename F, Source kSourceX, Source kSourceW, int kTiles>
__device__ __forceinline__ void multiply_few_rows(const Product& p, const TilePlace& at) {
  struct Sums {
    float of[kWarps][8 * kTiles][kOuts];
  };
  Sums& shared = shared_memory<Sums>();
  const int warp = static_cast<int>(warp_index()), lane = static_cast<int>(lane_index());
  const int g = lane / 4, t = lane % 4;
  FragmentC sums[kTiles] = {};
  for (int64_t from = int64_t{warp} * kStep * kAtOnce; from < p.k; from += int64_t{kWarps} * kStep * kAtOnce) {
    Words w[kAtOnce][2], x[kAtOnce][kTiles];
#pragma unroll
    for (int s = 0; s < kAtOnce; ++s) {
      const int64_t depth = from + kStep * s + 8 * t;
#pragma unroll
      for (int i = 0; i < 2; ++i) w[s][i] = read_eight<F, kSourceW, true>(p.b, at.column + g + 8 * i, p.n, depth, p.k);
#pragma unroll
      for (int i = 0; i < kTiles; ++i)
        x[s][i] = read_eight<F, kSourceX, false>(p.a, at.row + g + 8 * i, p.m, depth, p.k);
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
  if (at.row + row >= p.m || row >= 8 * kTiles || at.column + out >= p.n) return;
  float sum = shared.of[0][row][out];
  for (int w = 1; w < kWarps; ++w) sum += shared.of[w][row][out];
  finish_one(p.finish, finish_place(p, at.batch), at.row + row, at.column + out, sum);
}

}  // namespace mica::cuda::rows_half
