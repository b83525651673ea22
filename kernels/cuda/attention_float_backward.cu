// Attention's backward pass in float32 by the ordinary units: the kernels of attention_backward.cu, with the products
// of attention_float_tile.h. Without atomics: each result is summed by one block in one order.

#include "mica/kernels/cuda/attention_along.h"
#include "mica/kernels/cuda/attention_arguments.h"
#include "mica/kernels/cuda/attention_float_tile.h"
#include "mica/kernels/cuda/attention_kernels.h"
#include "mica/kernels/cuda/attention_tile.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

constexpr float kHidden = -INFINITY;

struct FloatBackward {
  AttentionRule<float> rule;
  HeadRows<const float> query, key, value, output, d_output;
  HeadRows<float> d_query, d_key, d_value;
  HeadColumns<RowSum<float>> sums;
  int head_size, value_size;
  int query_tiles, key_tiles;  // of the longest sequence
};

// dQ of a tile of queries, and each one's maximum and sum.
template <int kSize, int kRows, int kStep>
__global__ void __launch_bounds__(4 * kRows) attention_float_queries_kernel(FloatBackward a) {
  constexpr int kThreads = 4 * kRows, kJ = kStep / 16, kStride = kFloatStride<kSize>;
  const int rest = static_cast<int>(block_x() / static_cast<unsigned>(a.query_tiles));
  const AttentionHead<float> head(a.rule, rest / a.rule.heads, rest % a.rule.heads);
  const int first_query =
      (a.query_tiles - 1 - static_cast<int>(block_x() % static_cast<unsigned>(a.query_tiles))) * kRows;
  if (first_query >= head.queries) return;
  float* const q_tile = &shared_memory<float>();
  float* const do_tile = q_tile + kRows * kStride;
  float* const k_tile = do_tile + kRows * kStride;
  float* const v_tile = k_tile + kStep * kStride;
  float* const d_scores = v_tile + kStep * kStride;  // [kRows][kStep + 4]
  const int x = static_cast<int>(thread_x()), own = first_query + 4 * static_cast<int>(thread_y());

  const int begin = head.query_begin + first_query, count = head.queries - first_query;
  load_float_tile<kRows, kSize, kThreads>(q_tile, a.query.at(begin, head.head), a.query.row_stride, count, a.head_size);
  load_float_tile<kRows, kSize, kThreads>(do_tile, a.d_output.at(begin, head.head), a.d_output.row_stride, count,
                                          a.value_size);
  write_along(a.output, a.d_output, a.sums, begin, head.head, std::min(kRows, count), a.value_size, kThreads);
  RunningSum<float> running[4];  // the sum is a share of each thread of a row
  float along[4];
  bool blind[4] = {};
  Pack<float, 4> d_query[4][kSize / 64] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    running[i] = {kHidden, 0};
    if (head.has_sink()) running[i] = {head.sink(), x == 0 && head.sink() != kHidden ? 1.0F : 0.0F};
    along[i] = own + i < head.queries ? a.sums.at(head.query_begin + own + i, head.head).along : 0.0F;
  }

  KeySpan span = head.visible(first_query, std::min(first_query + kRows, head.queries) - 1);
  span.begin = span.begin / kStep * kStep;
  // The second pass is for queries that saw no key in the first: they weigh all keys alike.
#pragma unroll 1
  for (int pass = 0; pass < 2; ++pass) {
#pragma unroll 1
    for (int first = span.begin; first < span.end; first += kStep) {
      block_barrier();  // nobody reads the tile before this one any more
      load_float_tile<kStep, kSize, kThreads>(k_tile, a.key.at(head.key_begin + first, head.key_head), a.key.row_stride,
                                              head.keys - first, a.head_size);
      load_float_tile<kStep, kSize, kThreads>(v_tile, a.value.at(head.key_begin + first, head.key_head),
                                              a.value.row_stride, head.keys - first, a.value_size);
      commit_copies();
      wait_copies<0>();
      block_barrier();
      float s[4][kJ], d_weight[4][kJ];
      float_rows<kSize>(s, q_tile, k_tile, a.head_size);
      float_rows<kSize>(d_weight, do_tile, v_tile, a.value_size);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int query = own + i;
        float slope[kJ], top = kHidden;
#pragma unroll
        for (int j = 0; j < kJ; ++j) {
          const int key = first + x + 16 * j;
          slope[j] = 1;
          const bool seen = key < head.keys && query < head.queries && (pass == 1 ? blind[i] : head.sees(query, key));
          s[i][j] = seen ? head.score(s[i][j] * a.rule.scale, query, key, slope[j]) : kHidden;
          if (seen && pass == 1) s[i][j] = 0;
          top = Largest{}(top, s[i][j]);
        }
        float factor = 1;
        if (pass == 0) factor = running[i].raise(combine_lanes(top, Largest{}, 16));
#pragma unroll
        for (int j = 0; j < kJ; ++j) {
          const float weight = running[i].weight(s[i][j]);
          running[i].total += weight;
          const float kept = head.factor(query, first + x + 16 * j);
          s[i][j] = weight * (d_weight[i][j] * kept - along[i]) * slope[j];
        }
#pragma unroll
        for (int n = 0; n < kSize / 64; ++n) {
#pragma unroll
          for (int e = 0; e < 4; ++e) d_query[i][n].values[e] *= factor;
        }
      }
      keep_factors<kStep>(d_scores, s);
      warp_barrier();
      float_columns<kSize, kStep>(d_query, d_scores, k_tile);
    }
    if (pass == 1) break;
    bool any = false;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      running[i].total = combine_lanes(running[i].total, Add{}, 16);
      blind[i] = running[i].total == 0 && own + i < head.queries && !head.has_sink();
      if (blind[i]) running[i].largest = 0;
      any = any || blind[i];
    }
    block_barrier();
    if (!any_warp<kThreads / static_cast<int>(kWarp)>(any, reinterpret_cast<int*>(k_tile))) break;
    span = {0, head.keys};
  }

  float inverse[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    inverse[i] = running[i].total != 0 ? 1 / running[i].total : 0.0F;
    if (blind[i]) inverse[i] = blind_inverse<float>(head.keys);
    if (x != 0 || own + i >= head.queries) continue;
    RowSum<float>& sum = a.sums.at(head.query_begin + own + i, head.head);
    sum.largest = running[i].largest;
    sum.inverse = inverse[i];
  }
  store_columns<kSize>(d_query, a.head_size, [&](int i) -> FactoredRow {
    if (own + i >= head.queries) return {nullptr, 0};
    return {a.d_query.at(head.query_begin + own + i, head.head), std::fabs(inverse[i]) * a.rule.scale};
  });
}

// dK and dV of a tile of keys, over the query heads that share it and their tiles of queries.
template <int kSize, int kRows, int kStep>
__global__ void __launch_bounds__(4 * kRows) attention_float_keys_kernel(FloatBackward a) {
  constexpr int kThreads = 4 * kRows, kJ = kStep / 16, kStride = kFloatStride<kSize>;
  const int rest = static_cast<int>(block_x()) / a.key_tiles,
            first_key = static_cast<int>(block_x()) % a.key_tiles * kRows;
  const int sequence = rest / a.rule.key_heads, key_head = rest % a.rule.key_heads;
  const int group = a.rule.heads / a.rule.key_heads;
  const int queries = a.rule.queries.length(sequence), keys = a.rule.keys.length(sequence);
  const int query_begin = a.rule.queries.begin(sequence), key_begin = a.rule.keys.begin(sequence);
  if (first_key >= keys) return;
  float* const k_tile = &shared_memory<float>();
  float* const v_tile = k_tile + kRows * kStride;
  float* const q_tile = v_tile + kRows * kStride;
  float* const do_tile = q_tile + kStep * kStride;
  float* const factors = do_tile + kStep * kStride;  // [kRows][kStep + 4]
  const int x = static_cast<int>(thread_x()), own = first_key + 4 * static_cast<int>(thread_y());
  const int lane = static_cast<int>(lane_index());

  load_float_tile<kRows, kSize, kThreads>(k_tile, a.key.at(key_begin + first_key, key_head), a.key.row_stride,
                                          keys - first_key, a.head_size);
  load_float_tile<kRows, kSize, kThreads>(v_tile, a.value.at(key_begin + first_key, key_head), a.value.row_stride,
                                          keys - first_key, a.value_size);
  // Queries [seen_begin, seen_end) see some of the keys; those that see none weigh all keys, wherever they stand.
  const int last_key = std::min(first_key + kRows, keys) - 1;
  const int seen_begin = first_key - a.rule.after - (keys - queries),
            seen_end = last_key + a.rule.before + 1 - (keys - queries);
  const bool may_be_blind =
      a.rule.sinks == nullptr && (a.rule.mask != nullptr || a.rule.bias != nullptr || queries > keys);
  Pack<float, 4> d_key[4][kSize / 64] = {}, d_value[4][kSize / 64] = {};
#pragma unroll 1
  for (int h = key_head * group; h < (key_head + 1) * group; ++h) {
    const AttentionHead<float> head(a.rule, sequence, h);
#pragma unroll 1
    for (int first = 0; first < queries; first += kStep) {
      if (first >= seen_end || first + kStep <= seen_begin) {
        if (!may_be_blind) continue;
        const int query = first + lane;
        if (ballot(lane < kStep && query < queries && a.sums.at(query_begin + query, h).blind()) == 0) continue;
      }
      block_barrier();  // nobody reads the tile before this one any more
      load_float_tile<kStep, kSize, kThreads>(q_tile, a.query.at(query_begin + first, h), a.query.row_stride,
                                              queries - first, a.head_size);
      load_float_tile<kStep, kSize, kThreads>(do_tile, a.d_output.at(query_begin + first, h), a.d_output.row_stride,
                                              queries - first, a.value_size);
      commit_copies();
      wait_copies<0>();
      block_barrier();
      float s[4][kJ], d_weight[4][kJ];
      float_rows<kSize>(s, k_tile, q_tile, a.head_size);
      float_rows<kSize>(d_weight, v_tile, do_tile, a.value_size);
#pragma unroll
      for (int j = 0; j < kJ; ++j) {
        const int query = first + x + 16 * j;
        RowSum<float> sum{0, 0, 0};
        if (query < queries) sum = a.sums.at(query_begin + query, h);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int key = own + i;
          float p = 0, slope = 1, factor = 1;
          if (query < queries && key < keys && (sum.blind() || head.sees(query, key))) {
            const float score = head.score(s[i][j] * a.rule.scale, query, key, slope);
            p = sum.blind() ? -sum.inverse : RunningSum<float>{sum.largest, 0}.weight(score) * sum.inverse;
            factor = head.factor(query, key);
          }
          s[i][j] = p * factor;
          d_weight[i][j] = p * (d_weight[i][j] * factor - sum.along) * slope;
        }
      }
      keep_factors<kStep>(factors, s);
      warp_barrier();
      float_columns<kSize, kStep>(d_value, factors, do_tile);
      warp_barrier();
      keep_factors<kStep>(factors, d_weight);
      warp_barrier();
      float_columns<kSize, kStep>(d_key, factors, q_tile);
    }
  }
  const auto row_of = [&](const HeadRows<float>& to, int i, float factor) -> FactoredRow {
    if (own + i >= keys) return {nullptr, 0};
    return {to.at(key_begin + own + i, key_head), factor};
  };
  store_columns<kSize>(d_key, a.head_size, [&](int i) { return row_of(a.d_key, i, a.rule.scale); });
  store_columns<kSize>(d_value, a.value_size, [&](int i) { return row_of(a.d_value, i, 1); });
}

template <int kSize, int kRows, int kStep>
void backward(CudaDevice& on, const AttentionArguments& arguments, FloatBackward a) {
  a.query_tiles = static_cast<int>(ceil_div(longest(arguments.query_segments), kRows));
  a.key_tiles = static_cast<int>(ceil_div(longest(arguments.key_segments), kRows));
  constexpr int64_t kShared = 4 * (2 * (kRows + kStep) * kFloatStride<kSize> + kRows * (kStep + 4));
  const int64_t query_blocks = int64_t{a.rule.sequences} * a.rule.heads * a.query_tiles,
                key_blocks = int64_t{a.rule.sequences} * a.rule.key_heads * a.key_tiles;
  launch("attention.backward_queries", on.stream, {{static_cast<unsigned>(query_blocks)}, {16, kRows / 4}, kShared},
         attention_float_queries_kernel<kSize, kRows, kStep>, a);
  launch("attention.backward_keys", on.stream, {{static_cast<unsigned>(key_blocks)}, {16, kRows / 4}, kShared},
         attention_float_keys_kernel<kSize, kRows, kStep>, a);
}

}  // namespace

void attention_backward_float(CudaDevice& on, const AttentionArguments& arguments, const AttentionGradients& g) {
  const HeadColumns<RowSum<float>> sums = row_sums_scratch(on, arguments);
  const FloatBackward a{AttentionRule<float>(arguments),
                        HeadRows<const float>(arguments.query),
                        HeadRows<const float>(arguments.key),
                        HeadRows<const float>(arguments.value),
                        HeadRows<const float>(g.output),
                        HeadRows<const float>(g.d_output),
                        HeadRows<float>(g.d_query),
                        HeadRows<float>(g.d_key),
                        HeadRows<float>(g.d_value),
                        sums,
                        static_cast<int>(arguments.query.size(2)),
                        static_cast<int>(arguments.value.size(2)),
                        0,
                        0};
  const int size = std::max(a.head_size, a.value_size);
  if (size <= 64) {
    backward<64, 64, 32>(on, arguments, a);
  } else if (size <= 128) {
    backward<128, 32, 32>(on, arguments, a);
  } else {
    backward<256, 16, 16>(on, arguments, a);
  }
  attention_backward_parameters(on, arguments, g, sums.data);
}

}  // namespace mica::cuda
