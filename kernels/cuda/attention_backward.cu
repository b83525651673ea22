// Attention's backward pass for float16 and bfloat16 on the matrix units, after FlashAttention-2 (Dao, 2023), without
// atomics: two kernels in a row, each result summed by one block in one order.
//
//   1. along = rowsum(dO * O), a warp a row, and dQ, a tile of queries a block, over the tiles of keys that they see.
//      The weights are made again as the forward pass makes them, by a running maximum: dQ is as linear in them as the
//      output is, so that it is rescaled the same way. Each row's maximum, sum and along stay for the second kernel.
//   2. dK and dV, a tile of keys a block, over the query heads that share it and the tiles of queries that see it. The
//      products are transposed (keys are rows), so that their factors stay in their lanes.
//
// Operations: 7 products of each visited tile, 5 of which the formulas ask for: scores and dO Vᵀ are made twice, which
// costs less than to keep them or to add dQ up in memory. Bytes: as forward, for each of the kernels. Why it is fast:
// see attention_forward.cu; what differs is one tile more in shared memory and 16 rows a warp.

#include "mica/kernels/cuda/attention_along.h"
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
constexpr int kRows = 16 * kWarps;  // of the block's own tile
constexpr int kStep = 32;           // rows of the tiles it goes through
constexpr float kHidden = -INFINITY, kLog2e = 1.44269504088896341F;

template <typename T>
struct Backward {
  AttentionRule<T> rule;
  HeadRows<const T> query, key, value, output, d_output;
  HeadRows<T> d_query, d_key, d_value;
  HeadColumns<RowSum<float>> sums;
  int head_size, value_size;
  int query_tiles, key_tiles;  // of the longest sequence
};

// Two tiles side by side in shared memory: of `rows` rows from `from` and `also_from` on.
template <int kCount, int kSize, typename T>
__device__ __forceinline__ void load_pair(T* to, const HeadRows<const T>& x, int x_size, const HeadRows<const T>& y,
                                          int y_size, int row, int head, int rows) {
  load_tile<kCount, kSize, kThreads>(to, x.at(row, head), x.row_stride, rows, x_size);
  load_tile<kCount, kSize, kThreads>(to + kTileElements<kCount, kSize>, y.at(row, head), y.row_stride, rows, y_size);
}

template <typename T, int kSize, int kStages, bool kExtras>
__global__ void __launch_bounds__(kThreads, kSize > 96 ? 2 : 3) attention_queries_kernel(Backward<T> a) {
  constexpr int kN = kStep / 8, kColumns = kSize / 8, kTile = kTileElements<kStep, kSize>;
  const int rest = static_cast<int>(block_x() / static_cast<unsigned>(a.query_tiles));
  const AttentionHead<T> head(a.rule, rest / a.rule.heads, rest % a.rule.heads);
  const int first_query =
      (a.query_tiles - 1 - static_cast<int>(block_x() % static_cast<unsigned>(a.query_tiles))) * kRows;
  if (first_query >= head.queries) return;
  T* const q_tile = &shared_memory<T>();
  T* const do_tile = q_tile + kTileElements<kRows, kSize>;
  T* const stages = do_tile + kTileElements<kRows, kSize>;  // of keys and values
  const int lane = static_cast<int>(lane_index()), warp_row = static_cast<int>(warp_index()) * 16;
  const int own[2] = {first_query + warp_row + lane / 4, first_query + warp_row + lane / 4 + 8};

  load_pair<kRows, kSize>(q_tile, a.query, a.head_size, a.d_output, a.value_size, head.query_begin + first_query,
                          head.head, head.queries - first_query);
  const auto load = [&](int stage, int first) {
    load_pair<kStep, kSize>(stages + stage * 2 * kTile, a.key, a.head_size, a.value, a.value_size,
                            head.key_begin + first, head.key_head, head.keys - first);
    commit_copies();
  };
  write_along(a.output, a.d_output, a.sums, head.query_begin + first_query, head.head,
              std::min(int{kRows}, head.queries - first_query), a.value_size, kThreads);
  const float to_log2 = kExtras ? kLog2e : a.rule.scale * kLog2e;
  FragmentC d_query[1][kColumns];
  clear(d_query);
  float largest[2], total[2], along[2];
  bool blind[2] = {false, false};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const bool sink = kExtras && head.has_sink();
    largest[half] = sink ? head.sink() : kHidden;
    total[half] = sink && lane % 4 == 0 && head.sink() != kHidden ? 1.0F : 0.0F;
    along[half] = own[half] < head.queries ? a.sums.at(head.query_begin + own[half], head.head).along : 0.0F;
  }

  KeySpan span = head.visible(first_query, std::min(first_query + kRows, head.queries) - 1);
  span.begin = span.begin / kStep * kStep;
  // The second pass is for queries that saw no key in the first: they weigh all keys alike.
#pragma unroll 1
  for (int pass = 0; pass < 2; ++pass) {
    if (kStages == 2 && span.begin < span.end) load(0, span.begin);
    int stage = 0;
#pragma unroll 1
    for (int first = span.begin; first < span.end; first += kStep) {
      if (kStages == 1) {
        block_barrier();  // nobody reads the tile before this one any more
        load(0, first);
      }
      wait_copies<0>();
      block_barrier();
      if (kStages == 2 && first + kStep < span.end) load(stage ^ 1, first + kStep);
      const T* k_tile = stages + stage * 2 * kTile;
      if (kStages == 2) stage ^= 1;
      FragmentC s[1][kN], d_weight[1][kN];
      clear(s);
      clear(d_weight);
      multiply_rows<kSize>(s, q_tile, warp_row, k_tile);
      multiply_rows<kSize>(d_weight, do_tile, warp_row, k_tile + kTile);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = own[half];
        float slope[kN * 2];
        float top = kHidden;
#pragma unroll
        for (int i = 0; i < kN * 2; ++i) {
          float& x = s[0][i / 2].r[2 * half + i % 2];
          const int key = first + i / 2 * 8 + lane % 4 * 2 + i % 2;
          slope[i] = 1;
          const bool seen = key < head.keys && query < head.queries && (pass == 1 || head.sees(query, key));
          if (kExtras && seen) x = head.score(x * a.rule.scale, query, key, slope[i]);
          if (!seen) x = kHidden;
          if (pass == 1) x = seen && blind[half] ? largest[half] : kHidden;
          top = std::fmax(top, x);
        }
        top = combine_row(top, [](float x, float y) { return std::fmax(x, y); });
        const float now = std::fmax(largest[half], top), base = now == kHidden ? 0.0F : now;
        const float factor = pass == 1 ? 1.0F : exp2_quick((largest[half] - base) * to_log2);
        largest[half] = now;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < kN; ++n) {
          float kept[2] = {1, 1};
          if (kExtras && a.rule.dropout > 0) head.factors(query, first + 8 * n + lane % 4 * 2, kept);
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& x = s[0][n].r[2 * half + e];
            x = kExtras ? exp2_quick((x - base) * to_log2) : exp2_quick(std::fma(x, to_log2, -base * to_log2));
            sum += x;
            x *= (d_weight[0][n].r[2 * half + e] * kept[e] - along[half]) * slope[2 * n + e];
          }
        }
        total[half] = total[half] * factor + sum;
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
          d_query[0][n].r[2 * half] *= factor;
          d_query[0][n].r[2 * half + 1] *= factor;
        }
      }
      FragmentA d_scores[1][kN / 2];
      as_factors<T>(s, d_scores);
      multiply_columns<kSize>(d_query, d_scores, k_tile);
    }
    wait_copies<0>();
    if (pass == 1) break;
    bool any = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      total[half] = combine_row(total[half], Add{});
      blind[half] = total[half] == 0 && own[half] < head.queries && !(kExtras && head.has_sink());
      if (blind[half]) largest[half] = 0;
      any = any || blind[half];
    }
    block_barrier();
    if (!any_warp<kWarps>(any, reinterpret_cast<int*>(stages))) break;
    block_barrier();
    span = {0, head.keys};
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (own[half] >= head.queries) continue;
    const int row = head.query_begin + own[half];
    float inverse = total[half] != 0 ? 1.0F / total[half] : 0.0F;
    if (blind[half]) inverse = blind_inverse<float>(head.keys);
    if (lane % 4 == 0) {
      RowSum<float>& sum = a.sums.at(row, head.head);
      sum.largest = largest[half] * (kExtras ? 1.0F : a.rule.scale);
      sum.inverse = inverse;
    }
    const float factor = std::fabs(inverse) * a.rule.scale;
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      const int column = 8 * n + lane % 4 * 2;
      if (column >= a.head_size) continue;
      store_pack(a.d_query.at(row, head.head) + column,
                 Pack<T, 2>{{narrow<T>(d_query[0][n].r[2 * half] * factor),
                             narrow<T>(d_query[0][n].r[2 * half + 1] * factor)}});
    }
  }
}

// A block makes kColumns of the columns of dK and dV: all of them, where the registers hold as much.
template <typename T, int kSize, int kColumns, int kStages, bool kExtras>
__global__ void __launch_bounds__(kThreads) attention_keys_kernel(Backward<T> a) {
  constexpr int kN = kStep / 8, kTile = kTileElements<kStep, kSize>, kParts = kSize / kColumns;
  const int block = static_cast<int>(block_x() / kParts), part = static_cast<int>(block_x() % kParts);
  const int rest = block / a.key_tiles, first_key = block % a.key_tiles * kRows;
  const int sequence = rest / a.rule.key_heads, key_head = rest % a.rule.key_heads;
  const int group = a.rule.heads / a.rule.key_heads;
  const int queries = a.rule.queries.length(sequence), keys = a.rule.keys.length(sequence);
  const int query_begin = a.rule.queries.begin(sequence), key_begin = a.rule.keys.begin(sequence);
  if (first_key >= keys) return;
  T* const k_tile = &shared_memory<T>();
  T* const v_tile = k_tile + kTileElements<kRows, kSize>;
  T* const stages = v_tile + kTileElements<kRows, kSize>;  // of queries and dO
  const int lane = static_cast<int>(lane_index()), warp_row = static_cast<int>(warp_index()) * 16;

  load_pair<kRows, kSize>(k_tile, a.key, a.head_size, a.value, a.value_size, key_begin + first_key, key_head,
                          keys - first_key);
  // Step i takes tile i % tiles of the group's head i / tiles.
  const int tiles = (queries + kStep - 1) / kStep, steps = tiles * group;
  const auto load = [&](int stage, int step) {
    const int first = step % tiles * kStep;
    load_pair<kStep, kSize>(stages + stage * 2 * kTile, a.query, a.head_size, a.d_output, a.value_size,
                            query_begin + first, key_head * group + step / tiles, queries - first);
    commit_copies();
  };
  // Queries [seen_begin, seen_end) see some of the keys; those that see none weigh all keys, wherever they stand.
  const int last_key = std::min(first_key + kRows, keys) - 1;
  const int seen_begin = first_key - a.rule.after - (keys - queries),
            seen_end = last_key + a.rule.before + 1 - (keys - queries);
  const bool may_be_blind =
      a.rule.sinks == nullptr && (a.rule.mask != nullptr || a.rule.bias != nullptr || queries > keys);
  const auto next = [&](int step) {
    for (; step < steps; ++step) {
      const int first = step % tiles * kStep;
      if (first < seen_end && first + kStep > seen_begin) break;
      if (!may_be_blind) continue;
      const int query = first + lane;
      const bool blind = query < queries && a.sums.at(query_begin + query, key_head * group + step / tiles).blind();
      if (ballot(blind) != 0) break;
    }
    return step;
  };

  FragmentC d_key[1][kColumns / 8], d_value[1][kColumns / 8];
  clear(d_key);
  clear(d_value);
  int step = next(0), stage = 0;
  if (kStages == 2 && step < steps) load(0, step);
#pragma unroll 1
  while (step < steps) {
    if (kStages == 1) {
      block_barrier();  // nobody reads the tile before this one any more
      load(0, step);
    }
    wait_copies<0>();
    block_barrier();
    const int after = next(step + 1);
    if (kStages == 2 && after < steps) load(stage ^ 1, after);
    const T* q_tile = stages + stage * 2 * kTile;
    if (kStages == 2) stage ^= 1;
    FragmentC s[1][kN], d_weight[1][kN];
    clear(s);
    clear(d_weight);
    multiply_rows<kSize>(s, k_tile, warp_row, q_tile);
    multiply_rows<kSize>(d_weight, v_tile, warp_row, q_tile + kTile);
    const AttentionHead<T> head(a.rule, sequence, key_head * group + step / tiles);
    const int first = step % tiles * kStep;
#pragma unroll
    for (int i = 0; i < kN * 2; ++i) {
      const int query = first + i / 2 * 8 + lane % 4 * 2 + i % 2;
      RowSum<float> sum{0, 0, 0};
      if (query < queries) sum = a.sums.at(query_begin + query, head.head);
      const float largest = sum.largest == kHidden ? 0.0F : sum.largest;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int key = first_key + warp_row + lane / 4 + 8 * half;
        float &x = s[0][i / 2].r[2 * half + i % 2], &d = d_weight[0][i / 2].r[2 * half + i % 2];
        float p = 0, slope = 1, factor = 1;
        if (query < queries && key < keys && (sum.blind() || head.sees(query, key))) {
          if (kExtras) {
            x = head.score(x * a.rule.scale, query, key, slope);
            p = exp2_quick((x - largest) * kLog2e) * sum.inverse;
            factor = head.factor(query, key);
          } else {
            p = exp2_quick(std::fma(x, a.rule.scale * kLog2e, -largest * kLog2e)) * sum.inverse;
          }
          if (sum.blind()) p = -sum.inverse;
        }
        x = p * factor;
        d = p * (d * factor - sum.along) * slope;
      }
    }
    FragmentA weights[1][kN / 2], d_scores[1][kN / 2];
    as_factors<T>(s, weights);
    as_factors<T>(d_weight, d_scores);
    multiply_columns<kSize>(d_value, weights, q_tile + kTile + part * kColumns);
    multiply_columns<kSize>(d_key, d_scores, q_tile + part * kColumns);
    step = after;
  }
  wait_copies<0>();

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int key = first_key + warp_row + lane / 4 + 8 * half;
    if (key >= keys) continue;
    const auto store = [&](T* row, int size, const FragmentC(&from)[1][kColumns / 8], float factor) {
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        const int column = part * kColumns + 8 * n + lane % 4 * 2;
        if (column >= size) continue;
        store_pack(row + column, Pack<T, 2>{{narrow<T>(from[0][n].r[2 * half] * factor),
                                             narrow<T>(from[0][n].r[2 * half + 1] * factor)}});
      }
    };
    store(a.d_key.at(key_begin + key, key_head), a.head_size, d_key, a.rule.scale);
    store(a.d_value.at(key_begin + key, key_head), a.value_size, d_value, 1.0F);
  }
}

template <typename T, int kSize, int kColumns, int kStages>
void backward(CudaDevice& on, const AttentionArguments& arguments, const Backward<T>& a) {
  const bool extras = attention_extras(arguments);
  const int64_t shared =
      (2 * kTileElements<kRows, kSize> + 2 * kStages * kTileElements<kStep, kSize>)*static_cast<int64_t>(sizeof(T));
  const int64_t query_blocks = int64_t{a.rule.sequences} * a.rule.heads * a.query_tiles;
  launch(
      "attention.backward_queries", on.stream, {{static_cast<unsigned>(query_blocks)}, {kThreads}, shared},
      extras ? attention_queries_kernel<T, kSize, kStages, true> : attention_queries_kernel<T, kSize, kStages, false>,
      a);
  const int64_t key_blocks = int64_t{a.rule.sequences} * a.rule.key_heads * a.key_tiles * (kSize / kColumns);
  launch("attention.backward_keys", on.stream, {{static_cast<unsigned>(key_blocks)}, {kThreads}, shared},
         extras ? attention_keys_kernel<T, kSize, kColumns, kStages, true>
                : attention_keys_kernel<T, kSize, kColumns, kStages, false>,
         a);
}

template <typename T>
void backward_of_type(CudaDevice& on, const AttentionArguments& arguments, const AttentionGradients& g) {
  const HeadColumns<RowSum<float>> sums = row_sums_scratch(on, arguments);
  const Backward<T> a{AttentionRule<T>(arguments),
                      HeadRows<const T>(arguments.query),
                      HeadRows<const T>(arguments.key),
                      HeadRows<const T>(arguments.value),
                      HeadRows<const T>(g.output),
                      HeadRows<const T>(g.d_output),
                      HeadRows<T>(g.d_query),
                      HeadRows<T>(g.d_key),
                      HeadRows<T>(g.d_value),
                      sums,
                      static_cast<int>(arguments.query.size(2)),
                      static_cast<int>(arguments.value.size(2)),
                      static_cast<int>(ceil_div(longest(arguments.query_segments), kRows)),
                      static_cast<int>(ceil_div(longest(arguments.key_segments), kRows))};
  const int size = std::max(a.head_size, a.value_size);
  if (size <= 32) {
    backward<T, 32, 32, 2>(on, arguments, a);
  } else if (size <= 64) {
    backward<T, 64, 64, 2>(on, arguments, a);
  } else if (size <= 96) {
    backward<T, 96, 96, 2>(on, arguments, a);
  } else if (size <= 128) {
    backward<T, 128, 128, 2>(on, arguments, a);
  } else {
    backward<T, 256, 128, 1>(on, arguments, a);
  }
  attention_backward_parameters(on, arguments, g, sums.data);
}

}  // namespace

void attention_backward_tiles(CudaDevice& on, const AttentionArguments& arguments, const AttentionGradients& g) {
  if (arguments.query.dtype == DType::float16) {
    backward_of_type<float16>(on, arguments, g);
  } else {
    backward_of_type<bfloat16>(on, arguments, g);
  }
}

}  // namespace mica::cuda
