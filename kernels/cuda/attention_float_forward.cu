// Attention of float32 queries by the ordinary units, in true float32: tiles as in attention_forward.cu, over keys and
// values of float32 or, as a cache keeps them, of 16 bits.
//
// Operations: 2 (head_size + value_size) for each (query, key) of a visited tile. Bytes: as attention_forward.cu.
// Why it is fast: a thread multiplies 4 rows by 2 to 4 others from 16-byte pieces in shared memory, which is about as
// many operations as the memory feeds; values arrive while scores are made and the next keys while values are weighed.

#include "mica/kernels/cuda/attention_arguments.h"
#include "mica/kernels/cuda/attention_float_tile.h"
#include "mica/kernels/cuda/attention_kernels.h"
#include "mica/kernels/cuda/attention_tile.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

template <typename K>
struct FloatForward {
  AttentionRule<float> rule;
  HeadRows<const float> query;
  HeadRows<const K> key, value;
  HeadRows<float> output;
  HeadColumns<float> log_sum_exp;
  int head_size, value_size;
  int tiles;         // of queries
  int most_skipped;  // sequences of at most so many queries are another kernel's
};

template <typename K, int kSize, int kRows, int kKeys>
__global__ void __launch_bounds__(4 * kRows) attention_float_kernel(FloatForward<K> a) {
  constexpr int kThreads = 4 * kRows, kJ = kKeys / 16, kStride = kFloatStride<kSize>;
  constexpr float kHidden = -INFINITY;
  const int rest = static_cast<int>(block_x() / static_cast<unsigned>(a.tiles));
  const AttentionHead<float> head(a.rule, rest / a.rule.heads, rest % a.rule.heads);
  const int first_query = (a.tiles - 1 - static_cast<int>(block_x() % static_cast<unsigned>(a.tiles))) * kRows;
  if (first_query >= head.queries || head.queries <= a.most_skipped) return;
  float* const q_tile = &shared_memory<float>();
  float* const k_tile = q_tile + kRows * kStride;
  float* const v_tile = k_tile + kKeys * kStride;
  float* const weights = v_tile + kKeys * kStride;  // [kRows][kKeys + 4]
  const int x = static_cast<int>(thread_x()), own = first_query + 4 * static_cast<int>(thread_y());

  const auto load_keys = [&](int first) {
    load_float_tile<kKeys, kSize, kThreads>(k_tile, a.key.at(head.key_begin + first, head.key_head), a.key.row_stride,
                                            head.keys - first, a.head_size);
    commit_copies();
  };
  const auto load_values = [&](int first) {
    load_float_tile<kKeys, kSize, kThreads>(v_tile, a.value.at(head.key_begin + first, head.key_head),
                                            a.value.row_stride, head.keys - first, a.value_size);
    commit_copies();
  };
  load_float_tile<kRows, kSize, kThreads>(q_tile, a.query.at(head.query_begin + first_query, head.head),
                                          a.query.row_stride, head.queries - first_query, a.head_size);
  RunningSum<float> running[4];  // the sum is a share of each thread of a row
  Pack<float, 4> out[4][kSize / 64] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    running[i] = {kHidden, 0};
    if (head.has_sink()) running[i] = {head.sink(), x == 0 && head.sink() != kHidden ? 1.0F : 0.0F};
  }

  KeySpan span = head.visible(first_query, std::min(first_query + kRows, head.queries) - 1);
  span.begin = span.begin / kKeys * kKeys;
  if (span.begin < span.end) load_keys(span.begin);
#pragma unroll 1
  for (int first = span.begin; first < span.end; first += kKeys) {
    block_barrier();  // nobody reads the values before these any more
    load_values(first);
    wait_copies<1>();
    block_barrier();  // the keys are there
    float s[4][kJ];
    float_rows<kSize>(s, q_tile, k_tile, a.head_size);
    block_barrier();  // and read
    if (first + kKeys < span.end) {
      load_keys(first + kKeys);
    } else {
      commit_copies();  // an empty group, so that the same number is under way
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int query = own + i;
      float top = kHidden;
#pragma unroll
      for (int j = 0; j < kJ; ++j) {
        const int key = first + x + 16 * j;
        float slope;
        s[i][j] = key < head.keys && query < head.queries && head.sees(query, key)
                      ? head.score(s[i][j] * a.rule.scale, query, key, slope)
                      : kHidden;
        top = Largest{}(top, s[i][j]);
      }
      const float factor = running[i].raise(combine_lanes(top, Largest{}, 16));
#pragma unroll
      for (int j = 0; j < kJ; ++j) {
        const float weight = running[i].weight(s[i][j]);
        running[i].total += weight;
        s[i][j] = weight != 0 && a.rule.dropout > 0 ? weight * head.factor(query, first + x + 16 * j) : weight;
      }
#pragma unroll
      for (int n = 0; n < kSize / 64; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) out[i][n].values[e] *= factor;
      }
    }
    keep_factors<kKeys>(weights, s);
    wait_copies<1>();
    block_barrier();  // the values are there
    float_columns<kSize, kKeys>(out, weights, v_tile);
  }
  wait_copies<0>();

  bool blind[4], any = false;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    running[i].total = combine_lanes(running[i].total, Add{}, 16);
    blind[i] = running[i].total == 0 && own + i < head.queries && !head.has_sink();
    any = any || blind[i];
  }
  block_barrier();
  // Queries that saw no key weigh all keys alike.
  if (any_warp<kThreads / static_cast<int>(kWarp)>(any, reinterpret_cast<int*>(k_tile))) {
#pragma unroll 1
    for (int first = 0; first < head.keys; first += kKeys) {
      block_barrier();
      load_values(first);
      float s[4][kJ];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < kJ; ++j) {
          const int key = first + x + 16 * j;
          s[i][j] = blind[i] && key < head.keys ? head.factor(own + i, key) : 0.0F;
        }
      }
      keep_factors<kKeys>(weights, s);
      wait_copies<0>();
      block_barrier();
      float_columns<kSize, kKeys>(out, weights, v_tile);
    }
  }

  store_columns<kSize>(out, a.value_size, [&](int i) -> FactoredRow {
    if (own + i >= head.queries) return {nullptr, 0};
    const float inverse = running[i].total != 0 ? 1 / running[i].total : 0.0F;
    return {a.output.at(head.query_begin + own + i, head.head), blind[i] ? -blind_inverse<float>(head.keys) : inverse};
  });
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (x != 0 || own + i >= head.queries || a.log_sum_exp.data == nullptr) continue;
    a.log_sum_exp.at(head.query_begin + own + i, head.head) =
        blind[i] ? lowest<float>() : running[i].largest + std::log(running[i].total);
  }
}

template <typename K, int kSize, int kRows, int kKeys>
void forward(CudaDevice& on, const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
             int most_skipped) {
  const int tiles = static_cast<int>(ceil_div(longest(arguments.query_segments), kRows));
  const FloatForward<K> a{AttentionRule<float>(arguments),
                          HeadRows<const float>(arguments.query),
                          HeadRows<const K>(arguments.key),
                          HeadRows<const K>(arguments.value),
                          HeadRows<float>(output),
                          log_sum_exp ? HeadColumns<float>(log_sum_exp) : HeadColumns<float>(),
                          static_cast<int>(arguments.query.size(2)),
                          static_cast<int>(arguments.value.size(2)),
                          tiles,
                          most_skipped};
  constexpr int64_t kFloats = (kRows + 2 * kKeys) * kFloatStride<kSize> + kRows * (kKeys + 4);
  const int64_t blocks = int64_t{a.rule.sequences} * a.rule.heads * tiles;
  launch("attention.forward", on.stream, {{static_cast<unsigned>(blocks)}, {16, kRows / 4}, kFloats * 4},
         attention_float_kernel<K, kSize, kRows, kKeys>, a);
}

template <typename K>
void forward_of_size(CudaDevice& on, const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                     int most_skipped) {
  const int64_t size = std::max(arguments.query.size(2), arguments.value.size(2));
  if (size <= 64) return forward<K, 64, 64, 64>(on, arguments, output, log_sum_exp, most_skipped);
  if (size <= 128) return forward<K, 128, 64, 32>(on, arguments, output, log_sum_exp, most_skipped);
  return forward<K, 256, 32, 16>(on, arguments, output, log_sum_exp, most_skipped);
}

}  // namespace

bool attention_fits_float_tiles(const AttentionArguments& a) {
  bool fits = a.query.dtype == DType::float32 && a.key.dtype == a.value.dtype;
  for (const View* x : {&a.query, &a.key, &a.value}) {
    fits =
        fits && x->size(2) <= 256 && wide_rows(*x, x->size(2), x->stride(0)) && wide_rows(*x, x->size(2), x->stride(1));
  }
  return fits;
}

void attention_forward_float(CudaDevice& on, const AttentionArguments& arguments, const View& output,
                             const View& log_sum_exp, int most_skipped) {
  switch (arguments.key.dtype) {
    case DType::float16:
      return forward_of_size<float16>(on, arguments, output, log_sum_exp, most_skipped);
    case DType::bfloat16:
      return forward_of_size<bfloat16>(on, arguments, output, log_sum_exp, most_skipped);
    default:
      return forward_of_size<float>(on, arguments, output, log_sum_exp, most_skipped);
  }
}

}  // namespace mica::cuda
