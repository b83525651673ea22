// Attention of few queries over long caches of keys: decoding. Keys are split into chunks, a block each, and what the
// chunks say is put together by a second kernel, in order.
//
// Bytes: keys and values once for each group of kRows rows (the queries of all heads that share a key head); partial
// results add (value_size + 2) floats a row for each kChunk keys, below a hundredth. Operations: 2 (head_size +
// value_size) a row and key, in float32: some 8 for each byte with a full group of rows, near what the units do while
// the memory delivers; fewer rows are bound by the memory alone.
// Why it is fast: chunks make enough blocks for a batch of one; a chunk's tiles come in 16-byte pieces two deep, each
// read once from memory whatever the group's size; keys stay narrow until they are multiplied.
//
// Chunks begin at multiples of kChunk, so that a query's result does not depend on the batch.

#include "mica/kernels/cuda/attention_arguments.h"
#include "mica/kernels/cuda/attention_kernels.h"
#include "mica/kernels/cuda/device/async_copy.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / static_cast<int>(kWarp);
constexpr int kChunk = 128;

template <typename T, typename K>
struct Decode {
  AttentionRule<T> rule;
  HeadRows<const T> query;
  HeadRows<const K> key, value;
  HeadRows<T> output;
  HeadColumns<T> log_sum_exp;
  int head_size, value_size;
  int most_queries;  // sequences of more are another kernel's
  int queries;       // of the longest that are not
  int row_tiles, chunks;
  // [sequence, head, query, chunk, 2 + value_size]: the largest score, the sum of exp(score - largest), and the values
  // so weighed.
  float* partial;

  __device__ __forceinline__ float* partial_of(int sequence, int head, int i, int chunk) const {
    const int64_t row = (int64_t{sequence} * rule.heads + head) * queries + i;
    return partial + (row * chunks + chunk) * (2 + value_size);
  }
};

// Elements between the rows of a tile: an odd number of 16-byte pieces where the row has an even one.
template <typename K>
__host__ __device__ constexpr int decode_stride(int size) {
  return size / kWide<K> % 2 == 0 ? size + kWide<K> : size;
}

// kRows: rows of a block, row r being query r % queries of head r / queries of the group. kKeys: of a tile.
template <typename T, typename K, int kRows, int kKeys>
__global__ void __launch_bounds__(kThreads, 3) attention_decode_kernel(Decode<T, K> a) {
  constexpr int kParts = kThreads / kKeys;  // of a product
  constexpr int kRowsOfWarp = (kRows + kWarps - 1) / kWarps;
  constexpr float kHidden = -INFINITY;
  int rest = static_cast<int>(block_x());
  const int chunk = rest % a.chunks;
  rest /= a.chunks;
  const int first_row = rest % a.row_tiles * kRows;
  rest /= a.row_tiles;
  const int key_head = rest % a.rule.key_heads, group = a.rule.heads / a.rule.key_heads;
  const AttentionHead<T> first_head(a.rule, rest / a.rule.key_heads, key_head * group);
  const int queries = first_head.queries, rows = std::min(kRows, queries * group - first_row);
  if (queries > a.most_queries || rows <= 0) return;
  KeySpan span = first_head.visible(0, queries - 1);
  if (chunk < span.begin / kChunk || chunk * kChunk >= span.end) return;
  span.begin = chunk * kChunk;
  span.end = std::min(span.end, span.begin + kChunk);

  const int key_stride = decode_stride<K>(a.head_size), value_stride = decode_stride<K>(a.value_size);
  const int stage_size = kKeys * (key_stride + value_stride);
  float* const q = &shared_memory<float>();              // [kRows][head_size]
  float* const dots = q + kRows * a.head_size;           // [kParts][kRows][kKeys]
  float* const weights = dots + kParts * kRows * kKeys;  // [kRows][kKeys]
  float* const factors = weights + kRows * kKeys;        // [kRows]
  K* const stages = reinterpret_cast<K*>(factors + 8);   // two
  const int thread = static_cast<int>(thread_rank()), lane = static_cast<int>(lane_index());
  const auto head_of = [&](int row) {
    return AttentionHead<T>(a.rule, first_head.sequence, key_head * group + (first_row + row) / queries);
  };
  const auto query_of = [&](int row) { return (first_row + row) % queries; };

  const auto load_rows = [&](K* to, int stride, const HeadRows<const K>& from, int size, int first) {
    const int packs = size / kWide<K>;
    for (int i = thread; i < kKeys * packs; i += kThreads) {
      const int key = i / packs, column = i % packs * kWide<K>;
      const bool valid = first + key < span.end;
      copy_async_16(to + key * stride + column,
                    from.at(first_head.key_begin + (valid ? first + key : span.begin), key_head) + column, valid);
    }
  };
  const auto load = [&](int stage, int first) {
    load_rows(stages + stage * stage_size, key_stride, a.key, a.head_size, first);
    load_rows(stages + stage * stage_size + kKeys * key_stride, value_stride, a.value, a.value_size, first);
    commit_copies();
  };
  load(0, span.begin);
  for (int i = thread; i < kRows * a.head_size; i += kThreads) {
    const int row = i / a.head_size;
    q[i] = row < rows ? widen(a.query.at(first_head.query_begin + query_of(row), head_of(row).head)[i % a.head_size])
                      : 0.0F;
  }

  // A warp's rows: row warp + kWarps * j; the sum is a share of each lane.
  RunningSum<float> running[kRowsOfWarp];
#pragma unroll
  for (int j = 0; j < kRowsOfWarp; ++j) running[j] = {kHidden, 0};
  // The thread's columns of the output, over every groups-th key.
  const int packs = a.value_size / kWide<K>, groups = kThreads / packs;
  const int key_group = thread / packs, column = thread % packs * kWide<K>;
  float sums[kRows][kWide<K>] = {};

  int stage = 0;
#pragma unroll 1
  for (int first = span.begin; first < span.end; first += kKeys, stage ^= 1) {
    wait_copies<0>();
    block_barrier();  // this tile is there, and nobody reads the one before it any more
    if (first + kKeys < span.end) load(stage ^ 1, first + kKeys);
    const K* k_tile = stages + stage * stage_size;
    const K* v_tile = k_tile + kKeys * key_stride;
    {
      const int key = thread % kKeys, part = thread / kKeys;
      float dot[kRows] = {};
      for (int i = part * kWide<K>; i < a.head_size; i += kParts * kWide<K>) {
        const auto k = load_pack<kWide<K>>(k_tile + key * key_stride + i);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int j = 0; j < kWide<K>; j += 4) {
            const auto x = load_pack<4>(q + r * a.head_size + i + j);
#pragma unroll
            for (int e = 0; e < 4; ++e) dot[r] += x.values[e] * widen(k.values[j + e]);
          }
        }
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) dots[(part * kRows + r) * kKeys + key] = dot[r];
    }
    block_barrier();
#pragma unroll
    for (int j = 0; j < kRowsOfWarp; ++j) {
      const int row = static_cast<int>(warp_index()) + kWarps * j;
      if (row >= rows) continue;  // whole warps
      const AttentionHead<T> head = head_of(row);
      const int query = query_of(row);
      float score[(kKeys + 31) / 32], top = kHidden;
#pragma unroll
      for (int i = 0; i < kKeys; i += 32) {
        const int key = first + i + lane;
        float s = kHidden, slope;
        if (i + lane < kKeys && key < span.end && head.sees(query, key)) {
          s = 0;
          for (int part = 0; part < kParts; ++part) s += dots[(part * kRows + row) * kKeys + i + lane];
          s = head.score(s * a.rule.scale, query, key, slope);
        }
        score[i / 32] = s;
        top = Largest{}(top, s);
      }
      const float factor = running[j].raise(combine_lanes(top, Largest{}));
#pragma unroll
      for (int i = 0; i < kKeys; i += 32) {
        const float weight = running[j].weight(score[i / 32]);
        running[j].total += weight;
        const bool drops = weight != 0 && a.rule.dropout > 0;
        if (i + lane < kKeys) {
          weights[row * kKeys + i + lane] = drops ? weight * head.factor(query, first + i + lane) : weight;
        }
      }
      if (lane == 0) factors[row] = factor;
    }
    block_barrier();
    if (key_group < groups) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (r >= rows) break;
#pragma unroll
        for (int e = 0; e < kWide<K>; ++e) sums[r][e] *= factors[r];
      }
      for (int key = key_group; key < std::min(kKeys, span.end - first); key += groups) {
        const auto v = load_pack<kWide<K>>(v_tile + key * value_stride + column);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          if (r >= rows) break;
          const float weight = weights[r * kKeys + key];
#pragma unroll
          for (int e = 0; e < kWide<K>; ++e) sums[r][e] += weight * widen(v.values[e]);
        }
      }
    }
  }

  block_barrier();
  float* const shares = reinterpret_cast<float*>(stages);  // [groups][kRows][value_size]
  if (key_group < groups) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int e = 0; e < kWide<K>; ++e) shares[(key_group * kRows + r) * a.value_size + column + e] = sums[r][e];
    }
  }
  block_barrier();
  for (int i = thread; i < rows * a.value_size; i += kThreads) {
    const int row = i / a.value_size, c = i % a.value_size;
    float sum = 0;
    for (int g = 0; g < std::min(groups, kKeys); ++g) sum += shares[(g * kRows + row) * a.value_size + c];
    a.partial_of(first_head.sequence, head_of(row).head, query_of(row), chunk)[2 + c] = sum;
  }
#pragma unroll
  for (int j = 0; j < kRowsOfWarp; ++j) {
    const int row = static_cast<int>(warp_index()) + kWarps * j;
    if (row >= rows) continue;
    const float total = combine_lanes(running[j].total, Add{});
    if (lane != 0) continue;
    float* partial = a.partial_of(first_head.sequence, head_of(row).head, query_of(row), chunk);
    partial[0] = running[j].largest;
    partial[1] = total;
  }
}

// A block a row: every thread adds up the sums, and its columns of the values.
template <typename T, typename K>
__global__ void attention_combine_kernel(Decode<T, K> a) {
  constexpr float kHidden = -INFINITY;
  int rest = static_cast<int>(block_x());
  const int query = rest % a.queries;
  rest /= a.queries;
  const AttentionHead<T> head(a.rule, rest / a.rule.heads, rest % a.rule.heads);
  if (head.queries > a.most_queries || query >= head.queries) return;
  const KeySpan span = head.visible(0, head.queries - 1);
  const int begin = span.begin / kChunk, end = span.begin < span.end ? (span.end + kChunk - 1) / kChunk : begin;
  const auto partial = [&](int chunk) {
    return static_cast<const float*>(a.partial_of(head.sequence, head.head, query, chunk));
  };
  float largest = head.has_sink() ? head.sink() : kHidden;
  for (int c = begin; c < end; ++c) largest = Largest{}(partial(c)[0], largest);
  const RunningSum<float> running{largest, 0};
  float total = head.has_sink() ? running.weight(head.sink()) : 0.0F;
  for (int c = begin; c < end; ++c) total += partial(c)[1] * running.weight(partial(c)[0]);
  const bool blind = total == 0 && !head.has_sink();
  const int64_t row = head.query_begin + query;
  for (int i = static_cast<int>(thread_x()); i < a.value_size; i += static_cast<int>(threads_x())) {
    float sum = 0;
    if (blind) {
      for (int k = 0; k < head.keys; ++k) {
        sum += head.factor(query, k) * static_cast<float>(widen(a.value.at(head.key_begin + k, head.key_head)[i]));
      }
      sum *= -blind_inverse<float>(head.keys);
    } else {
      for (int c = begin; c < end; ++c) sum += partial(c)[2 + i] * running.weight(partial(c)[0]);
      sum = total != 0 ? sum / total : 0.0F;
    }
    a.output.at(row, head.head)[i] = narrow<T>(sum);
  }
  if (thread_x() == 0 && a.log_sum_exp.data != nullptr) {
    a.log_sum_exp.at(row, head.head) = narrow<T>(blind ? lowest<T>() : largest + std::log(total));
  }
}

template <typename T, typename K, int kKeys>
void decode(CudaDevice& on, Decode<T, K> a) {
  const int rows = a.queries * (a.rule.heads / a.rule.key_heads);
  const auto run = [&]<int kRows>(std::integral_constant<int, kRows>) {
    a.row_tiles = static_cast<int>(ceil_div(rows, kRows));
    const int64_t stages =
        2 * kKeys * (decode_stride<K>(a.head_size) + decode_stride<K>(a.value_size)) * static_cast<int64_t>(sizeof(K));
    const int64_t groups = kThreads / (a.value_size / kWide<K>);
    const int64_t shares = groups * kRows * a.value_size * 4;
    const int64_t floats = kRows * a.head_size + (kThreads / kKeys + 1) * kRows * kKeys + 8;
    const int64_t blocks = int64_t{a.rule.sequences} * a.rule.key_heads * a.row_tiles * a.chunks;
    launch("attention.decode", on.stream,
           {{static_cast<unsigned>(blocks)}, {kThreads}, floats * 4 + std::max(stages, shares)},
           attention_decode_kernel<T, K, kRows, kKeys>, a);
  };
  if (rows == 1) {
    run(std::integral_constant<int, 1>{});
  } else if (rows <= 4) {
    run(std::integral_constant<int, 4>{});
  } else {
    run(std::integral_constant<int, 8>{});
  }
}

template <typename T, typename K>
void decode_of_type(CudaDevice& on, const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                    int most_queries) {
  int queries = 0;
  int64_t keys = 0;
  for (int64_t s = 0; s < arguments.query_segments.count(); ++s) {
    const int64_t here = arguments.query_segments.length(s);
    if (here > most_queries) continue;
    queries = std::max(queries, static_cast<int>(here));
    if (here > 0) keys = std::max(keys, arguments.key_segments.length(s));
  }
  if (queries == 0) return;
  Decode<T, K> a{AttentionRule<T>(arguments),
                 HeadRows<const T>(arguments.query),
                 HeadRows<const K>(arguments.key),
                 HeadRows<const K>(arguments.value),
                 HeadRows<T>(output),
                 log_sum_exp ? HeadColumns<T>(log_sum_exp) : HeadColumns<T>(),
                 static_cast<int>(arguments.query.size(2)),
                 static_cast<int>(arguments.value.size(2)),
                 most_queries,
                 queries,
                 1,
                 static_cast<int>(ceil_div(keys, kChunk)),
                 nullptr};
  const int64_t vectors = int64_t{a.rule.sequences} * a.rule.heads * queries;
  if (a.chunks > 0) {
    a.partial = static_cast<float*>(on.queue.workspace(vectors * a.chunks * (2 + a.value_size) * 4));
    // Tiles of at most 16 KiB of keys.
    const int64_t bytes = std::max(a.head_size, a.value_size) * static_cast<int64_t>(sizeof(K));
    if (bytes <= 256) {
      decode<T, K, 64>(on, a);
    } else if (bytes <= 512) {
      decode<T, K, 32>(on, a);
    } else {
      decode<T, K, 16>(on, a);
    }
  }
  launch("attention.combine", on.stream, {{static_cast<unsigned>(vectors)}, {kThreads}}, attention_combine_kernel<T, K>,
         a);
}

template <typename T>
void decode_of_query(CudaDevice& on, const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                     int most_queries) {
  if (arguments.key.dtype == arguments.query.dtype) {
    return decode_of_type<T, T>(on, arguments, output, log_sum_exp, most_queries);
  }
  if constexpr (std::is_same_v<T, float>) {
    if (arguments.key.dtype == DType::float16) {
      decode_of_type<T, float16>(on, arguments, output, log_sum_exp, most_queries);
    } else {
      decode_of_type<T, bfloat16>(on, arguments, output, log_sum_exp, most_queries);
    }
  }
}

}  // namespace

bool attention_decodes(const AttentionArguments& a) {
  const DType dtype = a.query.dtype;
  const bool narrow = dtype == DType::float16 || dtype == DType::bfloat16;
  bool fits = (dtype == DType::float32 || (narrow && a.key.dtype == dtype)) && a.key.dtype == a.value.dtype;
  for (const View* x : {&a.key, &a.value}) {
    fits =
        fits && x->size(2) <= 256 && wide_rows(*x, x->size(2), x->stride(0)) && wide_rows(*x, x->size(2), x->stride(1));
  }
  return fits;
}

void attention_forward_decode(CudaDevice& on, const AttentionArguments& arguments, const View& output,
                              const View& log_sum_exp, int most_queries) {
  switch (arguments.query.dtype) {
    case DType::float16:
      return decode_of_query<float16>(on, arguments, output, log_sum_exp, most_queries);
    case DType::bfloat16:
      return decode_of_query<bfloat16>(on, arguments, output, log_sum_exp, most_queries);
    default:
      return decode_of_query<float>(on, arguments, output, log_sum_exp, most_queries);
  }
}

}  // namespace mica::cuda
