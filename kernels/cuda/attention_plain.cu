// Attention in its plain form, for any dtype, size and option: a warp a query, a key a lane.
//
// Operations: 2 (head_size + value_size) for each visible (query, key) forward; backward about four times that. Bytes:
// every query reads its keys and values again, which come from the second level of cache. Nothing is shared between
// queries, so this is far from the matrix units' speed: it is the reference, and what runs where the fast kernels do
// not go (float64, unusual sizes and strides).

#include "mica/kernels/cuda/attention_arguments.h"
#include "mica/kernels/cuda/attention_kernels.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

// Rows of a dtype that is known only at run time: keys and values may be narrower than the queries.
struct AnyHeadRows {
  const char* data;
  DType dtype;
  int64_t row_stride, head_stride;  // in bytes
  explicit AnyHeadRows(const View& view)
      : data(view.as<const char>()),
        dtype(view.dtype),
        row_stride(view.stride(0) * item_size(view.dtype)),
        head_stride(view.stride(1) * item_size(view.dtype)) {}
  __device__ __forceinline__ const char* at(int64_t row, int64_t head) const {
    return data + row * row_stride + head * head_stride;
  }
  template <typename C>
  __device__ __forceinline__ C element(const char* row, int i) const {
    switch (dtype) {
      case DType::float16:
        return static_cast<C>(widen(reinterpret_cast<const float16*>(row)[i]));
      case DType::bfloat16:
        return static_cast<C>(widen(reinterpret_cast<const bfloat16*>(row)[i]));
      default:
        return reinterpret_cast<const C*>(row)[i];
    }
  }
};

template <typename T>
struct PlainForward {
  AttentionRule<T> rule;
  HeadRows<const T> query;
  AnyHeadRows key, value;
  HeadRows<T> output;
  HeadColumns<T> log_sum_exp;
  int head_size, value_size;
  int tiles;         // blocks of queries of a head
  int most_skipped;  // sequences of at most so many queries are another kernel's
};

// Whose turn a block is: block b takes tile b % tiles of head b / tiles % heads of sequence b / tiles / heads.
template <typename T>
__device__ __forceinline__ AttentionHead<T> head_of_block(const AttentionRule<T>& rule, int tiles, int heads) {
  const int rest = static_cast<int>(block_x() / static_cast<unsigned>(tiles));
  return AttentionHead<T>(rule, rest / heads, rest % heads);
}
__device__ __forceinline__ int row_of_warp(int tiles) {
  return static_cast<int>(block_x() % static_cast<unsigned>(tiles) * threads_y() + thread_y());
}

template <typename C, typename T>
__device__ __forceinline__ C product(const T* x, const AnyHeadRows& rows, const char* row, int size) {
  C sum = 0;
  for (int i = 0; i < size; ++i) sum += widen(x[i]) * rows.element<C>(row, i);
  return sum;
}

template <typename T>
__global__ void attention_plain_kernel(PlainForward<T> a) {
  using C = Computed<T>;
  const AttentionHead<T> head = head_of_block(a.rule, a.tiles, a.rule.heads);
  const int query = row_of_warp(a.tiles), lane = static_cast<int>(thread_x());
  if (query >= head.queries || head.queries <= a.most_skipped) return;  // whole warps
  C* weights = &shared_memory<C>() + thread_y() * (kWarp + static_cast<unsigned>(a.value_size));
  C* sums = weights + kWarp;  // element i is lane i % 32's own
  for (int i = lane; i < a.value_size; i += kWarp) sums[i] = 0;
  const T* q = a.query.at(head.query_begin + query, head.head);

  // sums = sums * factor + weights · values, of `count` keys from `first` on.
  const auto weigh = [&](int first, int count, C factor) {
    warp_barrier();
    for (int i = lane; i < a.value_size; i += kWarp) {
      C sum = sums[i] * factor;
      for (int k = 0; k < count; ++k) {
        sum += weights[k] * a.value.template element<C>(a.value.at(head.key_begin + first + k, head.key_head), i);
      }
      sums[i] = sum;
    }
    warp_barrier();
  };

  RunningSum<C> running{minus_infinity<C>(), 0};
  if (head.has_sink()) running = {head.sink(), lane == 0 && head.sink() != minus_infinity<C>() ? C(1) : C(0)};
  const KeySpan span = head.visible(query, query);
  for (int first = span.begin; first < span.end; first += kWarp) {
    const int key = first + lane;
    C s = minus_infinity<C>(), slope;
    if (key < span.end && !head.masked(key)) {
      s = a.rule.scale * product<C>(q, a.key, a.key.at(head.key_begin + key, head.key_head), a.head_size);
      s = head.score(s, query, key, slope);
    }
    const C factor = running.raise(combine_lanes(s, Largest{}));
    const C weight = running.weight(s);
    running.total += weight;
    weights[lane] = key < span.end ? weight * head.factor(query, key) : C(0);
    weigh(first, std::min(static_cast<int>(kWarp), span.end - first), factor);
  }
  const C total = combine_lanes(running.total, Add{});
  const bool blind = total == 0 && !head.has_sink();
  C inverse = total != 0 ? 1 / total : C(0);
  if (blind) {
    inverse = -blind_inverse<C>(head.keys);
    for (int first = 0; first < head.keys; first += kWarp) {
      weights[lane] = first + lane < head.keys ? head.factor(query, first + lane) : C(0);
      weigh(first, std::min(static_cast<int>(kWarp), head.keys - first), C(1));
    }
  }
  T* out = a.output.at(head.query_begin + query, head.head);
  for (int i = lane; i < a.value_size; i += kWarp) out[i] = narrow<T>(sums[i] * inverse);
  if (lane == 0 && a.log_sum_exp.data != nullptr) {
    a.log_sum_exp.at(head.query_begin + query, head.head) =
        narrow<T>(blind ? lowest<T>() : running.largest + std::log(total));
  }
}

// ---- backward -------------------------------------------------------------------------------------------------------

template <typename T>
struct PlainBackward {
  AttentionRule<T> rule;
  HeadRows<const T> query;
  AnyHeadRows key, value;
  HeadRows<const T> output, d_output;
  HeadRows<T> d_query, d_key, d_value;
  HeadColumns<RowSum<Computed<T>>> sums;
  int head_size, value_size;
  int tiles;
};

// Of one (query, key).
template <typename C>
struct PairGradient {
  C weight = 0;   // after dropout
  C d_score = 0;  // of the score after softcap
  C d_inner = 0;  // and before
};

template <typename T>
__device__ __forceinline__ PairGradient<Computed<T>> pair_gradient(const PlainBackward<T>& a,
                                                                   const AttentionHead<T>& head, int query, int key,
                                                                   const RowSum<Computed<T>>& sum) {
  using C = Computed<T>;
  PairGradient<C> pair;
  if (!sum.blind() && !head.sees(query, key)) return pair;
  const int64_t row = head.query_begin + query, key_row = head.key_begin + key;
  C slope = 1;
  C s = a.rule.scale * product<C>(a.query.at(row, head.head), a.key, a.key.at(key_row, head.key_head), a.head_size);
  s = head.score(s, query, key, slope);
  const C p = sum.blind() ? -sum.inverse : RunningSum<C>{sum.largest, 0}.weight(s) * sum.inverse;
  const C d_weight =
      product<C>(a.d_output.at(row, head.head), a.value, a.value.at(key_row, head.key_head), a.value_size);
  const C factor = head.factor(query, key);
  pair.weight = p * factor;
  pair.d_score = p * (d_weight * factor - sum.along);
  pair.d_inner = pair.d_score * slope;
  return pair;
}

// dQ of a query, and its sums for the kernels that follow.
template <typename T>
__global__ void attention_plain_queries_kernel(PlainBackward<T> a) {
  using C = Computed<T>;
  const AttentionHead<T> head = head_of_block(a.rule, a.tiles, a.rule.heads);
  const int query = row_of_warp(a.tiles), lane = static_cast<int>(thread_x());
  if (query >= head.queries) return;
  C* d_scores = &shared_memory<C>() + thread_y() * (kWarp + static_cast<unsigned>(a.head_size));
  C* sums = d_scores + kWarp;
  const int64_t row = head.query_begin + query;
  const T* q = a.query.at(row, head.head);

  RunningSum<C> running{minus_infinity<C>(), 0};
  const KeySpan span = head.visible(query, query);
  for (int key = span.begin + lane; key < span.end; key += kWarp) {
    if (head.masked(key)) continue;
    C slope;
    const C s =
        head.score(a.rule.scale * product<C>(q, a.key, a.key.at(head.key_begin + key, head.key_head), a.head_size),
                   query, key, slope);
    running.raise(s);
    running.total += running.weight(s);
  }
  if (head.has_sink() && lane == 0 && head.sink() != minus_infinity<C>()) {
    running.raise(head.sink());
    running.total += running.weight(head.sink());
  }
  running.raise(combine_lanes(running.largest, Largest{}));
  const C total = combine_lanes(running.total, Add{});
  C along = 0;
  for (int i = lane; i < a.value_size; i += kWarp) {
    along += widen(a.output.at(row, head.head)[i]) * widen(a.d_output.at(row, head.head)[i]);
  }
  const bool blind = total == 0 && !head.has_sink();
  RowSum<C> sum{running.largest, total != 0 ? 1 / total : C(0), combine_lanes(along, Add{})};
  if (blind) sum.inverse = blind_inverse<C>(head.keys);
  if (lane == 0) a.sums.at(row, head.head) = sum;

  for (int i = lane; i < a.head_size; i += kWarp) sums[i] = 0;
  const int end = blind ? head.keys : span.end;
  for (int first = blind ? 0 : span.begin; first < end; first += kWarp) {
    const int key = first + lane;
    d_scores[lane] = key < end ? pair_gradient(a, head, query, key, sum).d_inner : C(0);
    warp_barrier();
    const int count = std::min(static_cast<int>(kWarp), end - first);
    for (int i = lane; i < a.head_size; i += kWarp) {
      C d = sums[i];
      for (int k = 0; k < count; ++k) {
        d += d_scores[k] * a.key.template element<C>(a.key.at(head.key_begin + first + k, head.key_head), i);
      }
      sums[i] = d;
    }
    warp_barrier();
  }
  T* d_query = a.d_query.at(row, head.head);
  for (int i = lane; i < a.head_size; i += kWarp) d_query[i] = narrow<T>(a.rule.scale * sums[i]);
}

// dK and dV of a key: over the query heads that share it, and their queries, in order; a query a lane.
template <typename T>
__global__ void attention_plain_keys_kernel(PlainBackward<T> a) {
  using C = Computed<T>;
  const int rest = static_cast<int>(block_x() / static_cast<unsigned>(a.tiles));
  const int sequence = rest / a.rule.key_heads, key_head = rest % a.rule.key_heads;
  const int group = a.rule.heads / a.rule.key_heads;
  const int key = row_of_warp(a.tiles), lane = static_cast<int>(thread_x());
  if (key >= a.rule.keys.length(sequence)) return;
  C* weights = &shared_memory<C>() + thread_y() * (2 * kWarp + static_cast<unsigned>(a.head_size + a.value_size));
  C* d_scores = weights + kWarp;
  C* key_sums = d_scores + kWarp;
  C* value_sums = key_sums + a.head_size;
  for (int i = lane; i < a.head_size; i += kWarp) key_sums[i] = 0;
  for (int i = lane; i < a.value_size; i += kWarp) value_sums[i] = 0;
  for (int h = key_head * group; h < (key_head + 1) * group; ++h) {
    const AttentionHead<T> head(a.rule, sequence, h);
    for (int first = 0; first < head.queries; first += kWarp) {
      const int query = first + lane;
      PairGradient<C> pair;
      if (query < head.queries) {
        pair = pair_gradient(a, head, query, key, a.sums.at(head.query_begin + query, h));
      }
      if (ballot(pair.weight != 0 || pair.d_inner != 0) == 0) continue;
      weights[lane] = pair.weight;
      d_scores[lane] = pair.d_inner;
      warp_barrier();
      const int count = std::min(static_cast<int>(kWarp), head.queries - first);
      for (int q = 0; q < count; ++q) {
        const T* d_out = a.d_output.at(head.query_begin + first + q, h);
        for (int i = lane; i < a.value_size; i += kWarp) value_sums[i] += weights[q] * widen(d_out[i]);
        const T* row = a.query.at(head.query_begin + first + q, h);
        for (int i = lane; i < a.head_size; i += kWarp) key_sums[i] += d_scores[q] * widen(row[i]);
      }
      warp_barrier();
    }
  }
  const int64_t key_row = a.rule.keys.begin(sequence) + key;
  T* d_key = a.d_key.at(key_row, key_head);
  for (int i = lane; i < a.head_size; i += kWarp) d_key[i] = narrow<T>(a.rule.scale * key_sums[i]);
  T* d_value = a.d_value.at(key_row, key_head);
  for (int i = lane; i < a.value_size; i += kWarp) d_value[i] = narrow<T>(value_sums[i]);
}

// d_bias, an element a thread: what shares it is added up in the order of sequences, heads, queries.
template <typename T>
struct BiasGradient {
  T* data;
  int64_t sequences, heads, queries, keys;  // sizes
  int64_t sequence_stride, head_stride, query_stride;
};

template <typename T>
__global__ void attention_plain_bias_kernel(PlainBackward<T> a, BiasGradient<T> d) {
  using C = Computed<T>;
  const int64_t at = int64_t{block_x()} * threads_x() + thread_x();
  if (at >= d.sequences * d.heads * d.queries * d.keys) return;
  const int key = static_cast<int>(at % d.keys);
  const int row = static_cast<int>(at / d.keys % d.queries), h = static_cast<int>(at / d.keys / d.queries % d.heads),
            s = static_cast<int>(at / d.keys / d.queries / d.heads);
  C sum = 0;
  for (int sequence = s; sequence < (d.sequences == 1 ? a.rule.sequences : s + 1); ++sequence) {
    for (int i = h; i < (d.heads == 1 ? a.rule.heads : h + 1); ++i) {
      const AttentionHead<T> head(a.rule, sequence, i);
      if (key >= head.keys) continue;
      const int first = row, last = d.queries == 1 ? head.queries : std::min(first + 1, head.queries);
      for (int query = first; query < last; ++query) {
        sum += pair_gradient(a, head, query, key, a.sums.at(head.query_begin + query, i)).d_score;
      }
    }
  }
  d.data[s * d.sequence_stride + h * d.head_stride + row * d.query_stride + key] = narrow<T>(sum);
}

// d_sinks[head] = - sum over all queries of P_sink * rowsum(dO * O): a block a head.
template <typename T>
__global__ void attention_plain_sinks_kernel(AttentionRule<T> rule, HeadColumns<RowSum<Computed<T>>> sums, T* d_sinks,
                                             int64_t stride) {
  using C = Computed<T>;
  const int64_t h = block_x();
  const C sink = widen(rule.sinks[h * rule.sinks_stride]);
  C sum = 0;
  for (int s = 0; s < rule.sequences && sink != minus_infinity<C>(); ++s) {
    const int queries = rule.queries.length(s);
    for (int q = static_cast<int>(thread_x()); q < queries; q += static_cast<int>(threads_x())) {
      const RowSum<C>& row = sums.at(rule.queries.begin(s) + q, h);
      sum -= std::exp(sink - row.largest) * row.inverse * row.along;
    }
  }
  sum = combine_block(sum, Add{}, &shared_memory<C>());
  if (thread_x() == 0) d_sinks[h * stride] = narrow<T>(sum);
}

// Blocks of some warps, a row a warp: as many as their scratch of `elements` numbers each leaves room for.
template <typename C>
LaunchShape rows_of_warps(int64_t heads, int64_t rows, int64_t elements, int& tiles) {
  const int64_t bytes = elements * static_cast<int64_t>(sizeof(C));
  const int64_t warps = 4 * bytes <= 48 * 1024 ? 4 : 1;
  tiles = static_cast<int>(std::max<int64_t>(1, ceil_div(rows, warps)));
  const int64_t blocks = rows == 0 ? 0 : heads * tiles;
  return {{static_cast<unsigned>(blocks)}, {kWarp, static_cast<unsigned>(warps)}, warps * bytes};
}

template <typename T>
PlainBackward<T> backward_operands(const AttentionArguments& arguments, const AttentionGradients& g, void* sums) {
  using C = Computed<T>;
  HeadColumns<RowSum<C>> columns;
  columns.data = static_cast<RowSum<C>*>(sums);
  columns.head_stride = arguments.query.size(0);
  columns.row_stride = 1;
  return {AttentionRule<T>(arguments),
          HeadRows<const T>(arguments.query),
          AnyHeadRows(arguments.key),
          AnyHeadRows(arguments.value),
          HeadRows<const T>(g.output),
          HeadRows<const T>(g.d_output),
          HeadRows<T>(g.d_query),
          HeadRows<T>(g.d_key),
          HeadRows<T>(g.d_value),
          columns,
          static_cast<int>(arguments.query.size(2)),
          static_cast<int>(arguments.value.size(2)),
          1};
}

template <typename T>
void parameters(CudaDevice& on, const PlainBackward<T>& a, const AttentionGradients& g) {
  if (g.d_bias) {
    const View& d = g.d_bias;
    const BiasGradient<T> bias{d.as<T>(), d.size(0),   d.size(1),   d.size(2),
                               d.size(3), d.stride(0), d.stride(1), d.stride(2)};
    const int64_t elements = d.numel();
    launch("attention.backward_bias", on.stream, {{static_cast<unsigned>(ceil_div(elements, 128))}, {128}},
           attention_plain_bias_kernel<T>, a, bias);
  }
  if (g.d_sinks) {
    launch("attention.backward_sinks", on.stream,
           {{static_cast<unsigned>(a.rule.heads)}, {128}, 32 * static_cast<int64_t>(sizeof(Computed<T>))},
           attention_plain_sinks_kernel<T>, a.rule, a.sums, g.d_sinks.as<T>(), g.d_sinks.stride(0));
  }
}

}  // namespace

void attention_forward_plain(CudaDevice& on, const AttentionArguments& arguments, const View& output,
                             const View& log_sum_exp, int most_skipped) {
  const auto& q = arguments.query;
  with_floating("attention.forward", q.dtype, on.device(), [&](auto zero) {
    using T = decltype(zero);
    PlainForward<T> a{AttentionRule<T>(arguments),
                      HeadRows<const T>(q),
                      AnyHeadRows(arguments.key),
                      AnyHeadRows(arguments.value),
                      HeadRows<T>(output),
                      log_sum_exp ? HeadColumns<T>(log_sum_exp) : HeadColumns<T>(),
                      static_cast<int>(q.size(2)),
                      static_cast<int>(arguments.value.size(2)),
                      1,
                      most_skipped};
    const LaunchShape shape = rows_of_warps<Computed<T>>(
        int64_t{a.rule.sequences} * a.rule.heads, longest(arguments.query_segments), kWarp + a.value_size, a.tiles);
    launch("attention.forward", on.stream, shape, attention_plain_kernel<T>, a);
  });
}

void attention_backward_plain(CudaDevice& on, const AttentionArguments& arguments, const AttentionGradients& g) {
  const auto& q = arguments.query;
  with_floating("attention.backward", q.dtype, on.device(), [&](auto zero) {
    using T = decltype(zero);
    using C = Computed<T>;
    void* sums = on.queue.workspace(q.size(0) * q.size(1) * static_cast<int64_t>(sizeof(RowSum<C>)));
    PlainBackward<T> a = backward_operands<T>(arguments, g, sums);
    const LaunchShape queries = rows_of_warps<C>(int64_t{a.rule.sequences} * a.rule.heads,
                                                 longest(arguments.query_segments), kWarp + a.head_size, a.tiles);
    launch("attention.backward_queries", on.stream, queries, attention_plain_queries_kernel<T>, a);
    const LaunchShape keys =
        rows_of_warps<C>(int64_t{a.rule.sequences} * a.rule.key_heads, longest(arguments.key_segments),
                         2 * kWarp + a.head_size + a.value_size, a.tiles);
    launch("attention.backward_keys", on.stream, keys, attention_plain_keys_kernel<T>, a);
    parameters(on, a, g);
  });
}

void attention_backward_parameters(CudaDevice& on, const AttentionArguments& arguments, const AttentionGradients& g,
                                   void* sums) {
  with_floating("attention.backward", arguments.query.dtype, on.device(), [&](auto zero) {
    using T = decltype(zero);
    parameters(on, backward_operands<T>(arguments, g, sums), g);
  });
}

}  // namespace mica::cuda
