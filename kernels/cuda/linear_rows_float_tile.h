#pragma once
// A few rows times some rows of a weight of float32 or float16, in float32: see linear_rows_float.cu.

#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/linear_finish.h"
#include "mica/kernels/cuda/linear_tiles.h"

namespace mica::cuda::rows_float {

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

template <int kRows>
constexpr int64_t kSharedBytes = int64_t{4} * kWarps* kRows* kOuts;

/// kRows rows of a and kOuts rows of b, from (row, column) of the result on; every thread of the block calls. W:
/// float32 in chunks of 4, or of 16 bits in chunks of 8; wide only of float16.
template <typename W, int kRows, bool kWideRows>
__device__ __forceinline__ void multiply_few_rows(const Product& p, const TilePlace& at) {
  struct Sums {
    float of[kWarps][kRows * kOuts];
  };
  Sums& shared = shared_memory<Sums>();
  constexpr int kChunk = kWide<W>;
  const int warp = static_cast<int>(warp_index()), lane = static_cast<int>(lane_index());
  constexpr int64_t kStep = int64_t{kWarp} * kChunk;
  float sums[kRows][kOuts] = {};
  for (int64_t from = warp * kStep; from < p.k; from += kWarps * kStep) {
    const int64_t depth = from + lane * kChunk;
    float w[kOuts][kChunk];
#pragma unroll
    for (int o = 0; o < kOuts; ++o) read_chunk<W, kChunk, kWideRows>(p.b, at.column + o, p.n, depth, p.k, w[o]);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float x[kChunk];
      read_chunk<float, kChunk, kWideRows>(p.a, at.row + r, p.m, depth, p.k, x);
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
  if (at.row + row >= p.m || row >= kRows || at.column + out >= p.n) return;
  float sum = shared.of[0][e];
  for (int w = 1; w < kWarps; ++w) sum += shared.of[w][e];
  finish_one(p.finish, finish_place(p, at.batch), at.row + row, at.column + out, sum);
}

}  // namespace mica::cuda::rows_float
