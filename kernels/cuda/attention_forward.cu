// Attention of float16 and bfloat16 on the matrix units, after FlashAttention-2 (Dao, 2023): a block takes a tile of a
// head's queries and goes through the tiles of keys that any of them sees; scores live in registers only.
//
// Operations: 2 (head_size + value_size) for each (query, key) of a visited tile. Bytes: queries and outputs move once,
// keys and values once for each tile of queries, mostly from the second level of cache.
// Why it is fast: both products are mma.sync m16n8k16 with float32 sums; the weights go from the one to the other
// without leaving their lanes; the next tile of keys and values is on its way (cp.async) while this one is multiplied;
// a warp uses each fragment of keys for up to 32 queries; tiles that nothing masks skip the tests; exponentials are
// powers of two with the scale folded in. What is left: on sm_90 the warpgroup instructions would multiply faster.
//
// A tile's first key is a multiple of its size, so that a query's result does not depend on the batch.

#include "mica/kernels/cuda/attention_arguments.h"
#include "mica/kernels/cuda/attention_kernels.h"
#include "mica/kernels/cuda/attention_tile.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/device/exponential.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / static_cast<int>(kWarp);

template <typename T>
struct Forward {
  AttentionRule<T> rule;
  HeadRows<const T> query, key, value;
  HeadRows<T> output;
  HeadColumns<T> log_sum_exp;
  int head_size, value_size;
  int tiles;         // of queries
  int most_skipped;  // sequences of at most so many queries are another kernel's
};

// kM: groups of 16 queries of a warp. kExtras: anything but scale, causal order and window.
template <typename T, int kSize, int kM, int kKeys, bool kExtras>
__global__ void __launch_bounds__(kThreads) attention_forward_kernel(Forward<T> a) {
  constexpr int kRows = kWarps * 16 * kM, kN = kKeys / 8, kColumns = kSize / 8;
  constexpr int kTile = kTileElements<kKeys, kSize>;
  constexpr float kHidden = -INFINITY, kLog2e = 1.44269504088896341F;

  const int rest = static_cast<int>(block_x() / static_cast<unsigned>(a.tiles));
  const AttentionHead<T> head(a.rule, rest / a.rule.heads, rest % a.rule.heads);
  // The last queries of a causal head see the most keys: they start first.
  const int first_query = (a.tiles - 1 - static_cast<int>(block_x() % static_cast<unsigned>(a.tiles))) * kRows;
  if (first_query >= head.queries || head.queries <= a.most_skipped) return;
  T* const q_tile = &shared_memory<T>();
  T* const stages = q_tile + kTileElements<kRows, kSize>;  // two of keys and values
  const int lane = static_cast<int>(lane_index()), warp_row = static_cast<int>(warp_index()) * 16 * kM;
  const int warp_query = first_query + warp_row, warp_last = warp_query + 16 * kM - 1;

  load_tile<kRows, kSize, kThreads>(q_tile, a.query.at(head.query_begin + first_query, head.head), a.query.row_stride,
                                    head.queries - first_query, a.head_size);
  const auto load = [&](int stage, int first) {
    T* to = stages + stage * 2 * kTile;
    load_tile<kKeys, kSize, kThreads>(to, a.key.at(head.key_begin + first, head.key_head), a.key.row_stride,
                                      head.keys - first, a.head_size);
    load_tile<kKeys, kSize, kThreads>(to + kTile, a.value.at(head.key_begin + first, head.key_head), a.value.row_stride,
                                      head.keys - first, a.value_size);
    commit_copies();
  };
  const auto query_of = [&](int m, int half) { return warp_query + 16 * m + 8 * half + lane / 4; };

  // Scores are compared in units of 1 / log2(e), or without extras of 1 / (scale log2(e)).
  const float to_log2 = kExtras ? kLog2e : a.rule.scale * kLog2e;
  FragmentC out[kM][kColumns];
  clear(out);
  float largest[kM][2], total[kM][2];
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const bool sink = kExtras && head.has_sink();
      largest[m][half] = sink ? head.sink() : kHidden;
      total[m][half] = sink && lane % 4 == 0 && head.sink() != kHidden ? 1.0F : 0.0F;
    }
  }

  KeySpan span = head.visible(first_query, std::min(first_query + kRows, head.queries) - 1);
  span.begin = span.begin / kKeys * kKeys;
  if (span.begin < span.end) load(0, span.begin);
  int stage = 0;
#pragma unroll 1
  for (int first = span.begin; first < span.end; first += kKeys, stage ^= 1) {
    wait_copies<0>();
    block_barrier();  // this tile is there, and nobody reads the one before it any more
    if (first + kKeys < span.end) load(stage ^ 1, first + kKeys);
    const T* k_tile = stages + stage * 2 * kTile;
    FragmentC s[kM][kN];
    clear(s);
    multiply_rows<kSize>(s, q_tile, warp_row, k_tile);

    const bool whole = !kExtras && first + kKeys <= head.keys && first >= head.position(warp_last) - a.rule.before &&
                       first + kKeys - 1 <= head.position(warp_query) + a.rule.after;
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = query_of(m, half);
        if (!whole) {
#pragma unroll
          for (int n = 0; n < kN; ++n) {
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              float& x = s[m][n].r[2 * half + e];
              const int key = first + 8 * n + lane % 4 * 2 + e;
              if (key >= head.keys || query >= head.queries || !head.sees(query, key)) {
                x = kHidden;
              } else if (kExtras) {
                float slope;
                x = head.score(x * a.rule.scale, query, key, slope);
              }
            }
          }
        }
        float top = kHidden;
#pragma unroll
        for (int n = 0; n < kN; ++n) top = std::fmax(top, std::fmax(s[m][n].r[2 * half], s[m][n].r[2 * half + 1]));
        top = combine_row(top, [](float x, float y) { return std::fmax(x, y); });
        const float now = std::fmax(largest[m][half], top), base = now == kHidden ? 0.0F : now;
        const float factor = exp2_quick((largest[m][half] - base) * to_log2);
        largest[m][half] = now;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < kN; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& x = s[m][n].r[2 * half + e];
            // Beside scores as large as a mask's the difference comes first.
            x = kExtras ? exp2_quick((x - base) * to_log2) : exp2_quick(std::fma(x, to_log2, -base * to_log2));
            sum += x;
          }
          if (kExtras && a.rule.dropout > 0) {
            float two[2];
            head.factors(query, first + 8 * n + lane % 4 * 2, two);
            s[m][n].r[2 * half] *= two[0];
            s[m][n].r[2 * half + 1] *= two[1];
          }
        }
        total[m][half] = total[m][half] * factor + sum;
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
          out[m][n].r[2 * half] *= factor;
          out[m][n].r[2 * half + 1] *= factor;
        }
      }
    }
    FragmentA weights[kM][kN / 2];
    as_factors<T>(s, weights);
    multiply_columns<kSize>(out, weights, k_tile + kTile);
  }
  wait_copies<0>();

  bool blind[kM][2], any = false;
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      total[m][half] = combine_row(total[m][half], Add{});
      blind[m][half] = total[m][half] == 0 && query_of(m, half) < head.queries && !(kExtras && head.has_sink());
      any = any || blind[m][half];
    }
  }
  block_barrier();
  // Queries that saw no key weigh all keys alike.
  if (any_warp<kWarps>(any, reinterpret_cast<int*>(stages))) {
#pragma unroll 1
    for (int first = 0; first < head.keys; first += kKeys) {
      block_barrier();
      load(0, first);
      wait_copies<0>();
      block_barrier();
      FragmentC s[kM][kN];
#pragma unroll
      for (int m = 0; m < kM; ++m) {
#pragma unroll
        for (int n = 0; n < kN; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) {
            const int key = first + 8 * n + lane % 4 * 2 + e % 2;
            const bool weighs = blind[m][e / 2] && key < head.keys;
            s[m][n].r[e] = weighs ? kExtras ? head.factor(query_of(m, e / 2), key) : 1.0F : 0.0F;
          }
        }
      }
      FragmentA weights[kM][kN / 2];
      as_factors<T>(s, weights);
      multiply_columns<kSize>(out, weights, stages + kTile);
    }
  }

#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = query_of(m, half);
      if (query >= head.queries) continue;
      float inverse = total[m][half] != 0 ? 1.0F / total[m][half] : 0.0F;
      if (blind[m][half]) inverse = -blind_inverse<float>(head.keys);
      T* row = a.output.at(head.query_begin + query, head.head);
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        const int column = 8 * n + lane % 4 * 2;
        if (column >= a.value_size) continue;
        store_pack(row + column, Pack<T, 2>{{narrow<T>(out[m][n].r[2 * half] * inverse),
                                             narrow<T>(out[m][n].r[2 * half + 1] * inverse)}});
      }
      if (lane % 4 == 0 && a.log_sum_exp.data != nullptr) {
        const float unit = kExtras ? 1.0F : a.rule.scale;
        a.log_sum_exp.at(head.query_begin + query, head.head) =
            narrow<T>(blind[m][half] ? lowest<T>() : largest[m][half] * unit + std::log(total[m][half]));
      }
    }
  }
}

template <typename T, int kSize, int kM, int kKeys>
void forward(CudaDevice& on, const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
             int most_skipped) {
  constexpr int kRows = kWarps * 16 * kM;
  const int tiles = static_cast<int>(ceil_div(longest(arguments.query_segments), kRows));
  const Forward<T> a{AttentionRule<T>(arguments),
                     HeadRows<const T>(arguments.query),
                     HeadRows<const T>(arguments.key),
                     HeadRows<const T>(arguments.value),
                     HeadRows<T>(output),
                     log_sum_exp ? HeadColumns<T>(log_sum_exp) : HeadColumns<T>(),
                     static_cast<int>(arguments.query.size(2)),
                     static_cast<int>(arguments.value.size(2)),
                     tiles,
                     most_skipped};
  const LaunchShape shape{
      {static_cast<unsigned>(int64_t{a.rule.sequences} * a.rule.heads * tiles)},
      {kThreads},
      (kTileElements<kRows, kSize> + 4 * kTileElements<kKeys, kSize>)*static_cast<int64_t>(sizeof(T))};
  launch("attention.forward", on.stream, shape,
         attention_extras(arguments) ? attention_forward_kernel<T, kSize, kM, kKeys, true>
                                     : attention_forward_kernel<T, kSize, kM, kKeys, false>,
         a);
}

template <typename T>
void forward_of_size(CudaDevice& on, const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                     int most_skipped) {
  const int64_t size = std::max(arguments.query.size(2), arguments.value.size(2));
  if (size <= 32) return forward<T, 32, 2, 64>(on, arguments, output, log_sum_exp, most_skipped);
  if (size <= 64) return forward<T, 64, 2, 64>(on, arguments, output, log_sum_exp, most_skipped);
  if (size <= 96) return forward<T, 96, 2, 32>(on, arguments, output, log_sum_exp, most_skipped);
  if (size <= 128) return forward<T, 128, 2, 32>(on, arguments, output, log_sum_exp, most_skipped);
  return forward<T, 256, 1, 32>(on, arguments, output, log_sum_exp, most_skipped);
}

}  // namespace

bool attention_extras(const AttentionArguments& a) {
  return a.softcap > 0 || a.key_mask || a.bias || a.alibi_slopes || a.sinks || a.dropout > 0 || !(a.scale > 0);
}

bool attention_fits_tiles(const AttentionArguments& a) {
  const DType dtype = a.query.dtype;
  bool fits = dtype == DType::float16 || dtype == DType::bfloat16;
  for (const View* x : {&a.query, &a.key, &a.value}) {
    const int64_t size = x->size(2);
    fits = fits && x->dtype == dtype && size <= 256 && wide_rows(*x, size, x->stride(0)) &&
           wide_rows(*x, size, x->stride(1));
  }
  return fits;
}

void attention_forward_tiles(CudaDevice& on, const AttentionArguments& arguments, const View& output,
                             const View& log_sum_exp, int most_skipped) {
  if (arguments.query.dtype == DType::float16) {
    forward_of_size<float16>(on, arguments, output, log_sum_exp, most_skipped);
  } else {
    forward_of_size<bfloat16>(on, arguments, output, log_sum_exp, most_skipped);
  }
}

}  // namespace mica::cuda
