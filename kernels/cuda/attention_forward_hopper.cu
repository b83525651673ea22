// Attention of float16 and bfloat16 on sm_90a, after FlashAttention-3 (Shah et al., 2024): a block takes 128 queries of
// a head. One thread has the copying unit bring queries, keys and values into a ring of tiles; two warpgroups with 64
// queries each multiply tiles as they land, and keep scores in registers.
//
// Operations and bytes are those of attention_forward.cu: 2 (head_size + value_size) for each (query, key) of a visited
// tile; queries and outputs move once, keys and values once for each 128 queries.
// Why it is fast: both products are wgmma with float32 sums, which alone reaches the rate of these matrix units; keys
// and values go to them from shared memory without passing a register; the weights are the second product's factors
// where they lie; no thread computes addresses of copies, and the copying warpgroup's registers are the others'; a
// tile's second product and the next tile's first one run back to back, and beside the other warpgroup's softmax. What
// is left: nothing makes the two warpgroups take turns, and a warpgroup's own softmax waits for its products.
//
// A tile's first key is a multiple of its size, so that a query's result does not depend on the batch. Rows of other
// sequences that the last tile brings are hidden among the keys and set to zero among the values.

#include "mica/kernels/cuda/attention_arguments.h"
#include "mica/kernels/cuda/attention_kernels.h"
#include "mica/kernels/cuda/attention_tile.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/device/exponential.h"
#include "mica/kernels/cuda/device/warpgroup.h"
#include "mica/kernels/cuda/runtime.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/cuda/tensor_map.h"

namespace mica::cuda {
namespace {

constexpr int kGroups = 2, kRows = 64 * kGroups;
constexpr int kMultipliers = kGroups * static_cast<int>(kWarpgroup), kThreads = kMultipliers + 128;
constexpr int kWarps = kMultipliers / static_cast<int>(kWarp);
[[maybe_unused]] constexpr unsigned kAllMultiply = 1,
                                    kGroupMultiplies = 2;  // named barriers: of both warpgroups, of the first

template <typename T>
struct Forward {
  TensorMap query, key, value;  // [rows, heads, size] in boxes of 64 columns
  AttentionRule<T> rule;
  HeadRows<T> output;
  HeadColumns<T> log_sum_exp;
  int value_size;
  int tiles;         // of queries
  int most_skipped;  // sequences of at most so many queries are another kernel's
};

// Tiles are pieces of 64 columns, [kSize / 64][rows][64], swizzled.
template <typename T, int kSize, int kKeys, int kStages>
struct Ring {
  alignas(1024) T query[kRows * kSize];
  alignas(1024) T key[kStages][kKeys * kSize];
  alignas(1024) T value[kStages][kKeys * kSize];
  BarrierObject query_full, key_full[kStages], value_full[kStages], key_empty[kStages], value_empty[kStages];
  BarrierObject again;  // values, for queries that see no key
  int votes[kWarps];

  __device__ __forceinline__ void init() {
    query_full.init(1);
    again.init(1);
    for (int i = 0; i < kStages; ++i) {
      key_full[i].init(1);
      value_full[i].init(1);
      key_empty[i].init(kWarps);
      value_empty[i].init(kWarps);
    }
    barrier_objects_ready();
  }
};

// Has the copying unit bring kTileRows rows of a head.
template <int kSize, int kTileRows, typename T>
__device__ __forceinline__ void bring(T* tile, const TensorMap& map, BarrierObject& full, int head, int row) {
  full.arrive_expecting(kTileRows * kSize * sizeof(T));
#pragma unroll
  for (int piece = 0; piece < kSize / 64; ++piece) {
    copy_box(tile + piece * kTileRows * 64, map, full, piece * 64, head, row);
  }
}

// One thread: everything that the span's tiles need, in the order in which it is used.
template <int kSize, int kKeys, int kStages, typename T>
__device__ __forceinline__ void bring_all(const Forward<T>& a, const AttentionHead<T>& head, int first_query,
                                          const KeySpan& span, Ring<T, kSize, kKeys, kStages>& ring) {
  bring<kSize, kRows>(ring.query, a.query, ring.query_full, head.head, head.query_begin + first_query);
  int stage = 0;
  unsigned parity = 1;  // a fresh slot is empty
#pragma unroll 1
  for (int first = span.begin; first < span.end; first += kKeys) {
    ring.key_empty[stage].wait(parity);
    bring<kSize, kKeys>(ring.key[stage], a.key, ring.key_full[stage], head.key_head, head.key_begin + first);
    ring.value_empty[stage].wait(parity);
    bring<kSize, kKeys>(ring.value[stage], a.value, ring.value_full[stage], head.key_head, head.key_begin + first);
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
}

// Zeros in the rows from `rows` on: a weight of zero does not hide what is not a number. By each warpgroup for itself.
template <int kSize, int kKeys, typename T>
__device__ __forceinline__ void clear_rows(T* tile, int rows, int group) {
  const int packs = (kKeys - rows) * 8, thread = static_cast<int>(thread_x() % kWarpgroup);
#pragma unroll 1
  for (int i = thread; i < packs * (kSize / 64); i += static_cast<int>(kWarpgroup)) {
    const int piece = i / packs;
    store_pack(tile + piece * kKeys * 64 + rows * 64 + (i - piece * packs) * 8, Pack<T, 8>{});
  }
  shared_writes_ready();
  part_barrier(kGroupMultiplies + static_cast<unsigned>(group), kWarpgroup);
}

// s = q kᵀ, started.
template <int kSize, int kKeys, typename T>
__device__ __forceinline__ void start_scores(FragmentC (&s)[kKeys / 8], MatrixPlace query, const T* key) {
  const MatrixPlace keys = matrix_place(key);
  settle(s);
  products_fence();
#pragma unroll
  for (int i = 0; i < kSize; i += 16) {
    multiply<T, Major::depth, Major::depth>(s, query.further(i / 64 * kRows * 128 + i % 64 * 2),
                                            keys.further(i / 64 * kKeys * 128 + i % 64 * 2), i > 0);
  }
  commit_products();
}

// out += weights v, started.
template <int kSize, int kKeys, typename T>
__device__ __forceinline__ void start_outputs(FragmentC (&out)[kSize / 8], const FragmentA (&weights)[1][kKeys / 16],
                                              const T* value) {
  const MatrixPlace values = matrix_place(value, kKeys * 128);
  settle(out);
  products_fence();
#pragma unroll
  for (int i = 0; i < kKeys / 16; ++i) multiply<T, Major::width>(out, weights[0][i], values.further(i * 2048), true);
  commit_products();
}

// The 64 queries of a warpgroup. kExtras: anything but scale, causal order and window.
template <int kSize, int kKeys, int kStages, bool kExtras, typename T>
__device__ __forceinline__ void attend(const Forward<T>& a, const AttentionHead<T>& head, int first_query,
                                       const KeySpan& span, Ring<T, kSize, kKeys, kStages>& ring) {
  constexpr int kN = kKeys / 8, kColumns = kSize / 8;
  constexpr float kHidden = -INFINITY, kLog2e = 1.44269504088896341F;
  const int lane = static_cast<int>(lane_index()), warp_row = static_cast<int>(warp_index()) * 16;
  const int group = static_cast<int>(thread_x() / kWarpgroup);
  const int warp_query = first_query + warp_row, warp_last = warp_query + 15;
  const auto query_of = [&](int half) { return warp_query + 8 * half + lane / 4; };
  const auto release = [&](BarrierObject& empty) {
    if (lane == 0) empty.arrive();
  };

  // Scores are compared in units of 1 / log2(e), or without extras of 1 / (scale log2(e)).
  const float to_log2 = kExtras ? kLog2e : a.rule.scale * kLog2e;
  FragmentC out[1][kColumns], s[1][kN];
  clear(out);
  clear(s);
  float largest[2], total[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const bool sink = kExtras && head.has_sink();
    largest[half] = sink ? head.sink() : kHidden;
    total[half] = sink && lane % 4 == 0 && head.sink() != kHidden ? 1.0F : 0.0F;
  }

  const MatrixPlace query = matrix_place(ring.query + group * 64 * 64);
  ring.query_full.wait(0);
  if (span.begin < span.end) {
    ring.key_full[0].wait(0);
    start_scores<kSize, kKeys>(s[0], query, ring.key[0]);
  }
  int stage = 0;
  unsigned parity = 0;
#pragma unroll 1
  for (int first = span.begin; first < span.end; first += kKeys) {
    wait_products<0>();
    settle(s[0]);
    release(ring.key_empty[stage]);

    const bool whole = !kExtras && first + kKeys <= head.keys && first >= head.position(warp_last) - a.rule.before &&
                       first + kKeys - 1 <= head.position(warp_query) + a.rule.after;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query_here = query_of(half);
      if (!whole) {
#pragma unroll
        for (int n = 0; n < kN; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& x = s[0][n].r[2 * half + e];
            const int key = first + 8 * n + lane % 4 * 2 + e;
            if (key >= head.keys || query_here >= head.queries || !head.sees(query_here, key)) {
              x = kHidden;
            } else if (kExtras) {
              float slope;
              x = head.score(x * a.rule.scale, query_here, key, slope);
            }
          }
        }
      }
      float top = kHidden;
#pragma unroll
      for (int n = 0; n < kN; ++n) top = std::fmax(top, std::fmax(s[0][n].r[2 * half], s[0][n].r[2 * half + 1]));
      top = combine_row(top, [](float x, float y) { return std::fmax(x, y); });
      const float now = std::fmax(largest[half], top), base = now == kHidden ? 0.0F : now;
      const float factor = exp2_quick((largest[half] - base) * to_log2);
      largest[half] = now;
      float sum = 0;
#pragma unroll
      for (int n = 0; n < kN; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& x = s[0][n].r[2 * half + e];
          // Beside scores as large as a mask's the difference comes first.
          x = kExtras ? exp2_quick((x - base) * to_log2) : exp2_quick(std::fma(x, to_log2, -base * to_log2));
          sum += x;
        }
        if (kExtras && a.rule.dropout > 0) {
          float two[2];
          head.factors(query_here, first + 8 * n + lane % 4 * 2, two);
          s[0][n].r[2 * half] *= two[0];
          s[0][n].r[2 * half + 1] *= two[1];
        }
      }
      total[half] = total[half] * factor + sum;
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        out[0][n].r[2 * half] *= factor;
        out[0][n].r[2 * half + 1] *= factor;
      }
    }
    FragmentA weights[1][kN / 2];
    as_factors<T>(s, weights);

    ring.value_full[stage].wait(parity);
    if (first + kKeys > head.keys) clear_rows<kSize, kKeys>(ring.value[stage], head.keys - first, group);
    start_outputs<kSize, kKeys>(out[0], weights, ring.value[stage]);
    const int now = stage;
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
    if (first + kKeys < span.end) {
      ring.key_full[stage].wait(parity);
      start_scores<kSize, kKeys>(s[0], query, ring.key[stage]);
      wait_products<1>();
    } else {
      wait_products<0>();
    }
    settle(out[0]);
    release(ring.value_empty[now]);
  }
  wait_products<0>();  // none are left; the compiler can't see it
  settle(s[0]);

  bool blind[2], any = false;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    total[half] = combine_row(total[half], Add{});
    blind[half] = total[half] == 0 && query_of(half) < head.queries && !(kExtras && head.has_sink());
    any = any || blind[half];
  }
  const bool warp_any = ballot(any) != 0;
  if (lane == 0) ring.votes[warp_index()] = warp_any ? 1 : 0;
  part_barrier(kAllMultiply, kMultipliers);
  any = false;
  for (const int vote : ring.votes) any = any || vote != 0;
  // Queries that saw no key weigh all keys alike. What was to be brought is there and used: the ring is free.
  if (any) {
    unsigned again = 0;
#pragma unroll 1
    for (int first = 0; first < head.keys; first += kKeys, again ^= 1) {
      T* const values = ring.value[0];
      if (thread_x() == 0) bring<kSize, kKeys>(values, a.value, ring.again, head.key_head, head.key_begin + first);
#pragma unroll
      for (int n = 0; n < kN; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int key = first + 8 * n + lane % 4 * 2 + e % 2;
          const bool weighs = blind[e / 2] && key < head.keys;
          s[0][n].r[e] = weighs ? kExtras ? head.factor(query_of(e / 2), key) : 1.0F : 0.0F;
        }
      }
      FragmentA weights[1][kN / 2];
      as_factors<T>(s, weights);
      ring.again.wait(again);
      if (first + kKeys > head.keys) clear_rows<kSize, kKeys>(values, head.keys - first, group);
      start_outputs<kSize, kKeys>(out[0], weights, values);
      wait_products<0>();
      settle(out[0]);
      part_barrier(kAllMultiply, kMultipliers);  // nobody reads these values any more
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int query_here = query_of(half);
    if (query_here >= head.queries) continue;
    float inverse = total[half] != 0 ? 1.0F / total[half] : 0.0F;
    if (blind[half]) inverse = -blind_inverse<float>(head.keys);
    T* row = a.output.at(head.query_begin + query_here, head.head);
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      const int column = 8 * n + lane % 4 * 2;
      if (column >= a.value_size) continue;
      store_pack(row + column, Pack<T, 2>{{narrow<T>(out[0][n].r[2 * half] * inverse),
                                           narrow<T>(out[0][n].r[2 * half + 1] * inverse)}});
    }
    if (lane % 4 == 0 && a.log_sum_exp.data != nullptr) {
      const float unit = kExtras ? 1.0F : a.rule.scale;
      a.log_sum_exp.at(head.query_begin + query_here, head.head) =
          narrow<T>(blind[half] ? lowest<T>() : largest[half] * unit + std::log(total[half]));
    }
  }
}

template <typename T, int kSize, int kKeys, int kStages, bool kExtras>
__global__ void __launch_bounds__(kThreads, 1) attention_forward_hopper_kernel(const MICA_GRID_CONSTANT Forward<T> a) {
#ifdef MICA_WARPGROUP_PRODUCTS
  const int rest = static_cast<int>(block_x() / static_cast<unsigned>(a.tiles));
  const AttentionHead<T> head(a.rule, rest / a.rule.heads, rest % a.rule.heads);
  // The last queries of a causal head see the most keys: they start first.
  const int first_query = (a.tiles - 1 - static_cast<int>(block_x() % static_cast<unsigned>(a.tiles))) * kRows;
  if (first_query >= head.queries || head.queries <= a.most_skipped) return;
  auto& ring = shared_memory<Ring<T, kSize, kKeys, kStages>>();
  KeySpan span = head.visible(first_query, std::min(first_query + kRows, head.queries) - 1);
  span.begin = span.begin / kKeys * kKeys;
  if (thread_x() == 0) ring.init();
  block_barrier();
  if (thread_x() >= kMultipliers) {
    give_registers<24>();
    if (thread_x() == kMultipliers) bring_all(a, head, first_query, span, ring);
  } else {
    take_registers<240>();
    attend<kSize, kKeys, kStages, kExtras>(a, head, first_query, span, ring);
  }
#else
  static_cast<void>(a);
  __trap();  // the host chooses it where it was built for sm_90a
#endif
}

BoxedTensor boxes_of(const char* name, const View& x, int rows) {
  return {.name = name,
          .data = x.data,
          .dtype = x.dtype,
          .rank = 3,
          .sizes = {x.size(2), x.size(1), x.size(0)},
          .strides = {1, x.stride(1), x.stride(0)},
          .box = {64, 1, rows}};
}

template <typename T, int kSize, int kKeys, int kStages, bool kExtras>
void forward(CudaDevice& on, const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
             int most_skipped) {
  const int tiles = static_cast<int>(ceil_div(longest(arguments.query_segments), kRows));
  const Forward<T> a{make_tensor_map(boxes_of("attention.query", arguments.query, kRows)),
                     make_tensor_map(boxes_of("attention.key", arguments.key, kKeys)),
                     make_tensor_map(boxes_of("attention.value", arguments.value, kKeys)),
                     AttentionRule<T>(arguments),
                     HeadRows<T>(output),
                     log_sum_exp ? HeadColumns<T>(log_sum_exp) : HeadColumns<T>(),
                     static_cast<int>(arguments.value.size(2)),
                     tiles,
                     most_skipped};
  const LaunchShape shape{{static_cast<unsigned>(int64_t{a.rule.sequences} * a.rule.heads * tiles)},
                          {kThreads},
                          static_cast<int64_t>(sizeof(Ring<T, kSize, kKeys, kStages>))};
  launch("attention.forward_hopper", on.stream, shape,
         attention_forward_hopper_kernel<T, kSize, kKeys, kStages, kExtras>, a);
}

template <typename T>
void forward_of_size(CudaDevice& on, const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                     int most_skipped) {
  const bool small = std::max(arguments.query.size(2), arguments.value.size(2)) <= 64;
  if (attention_extras(arguments)) {
    // Tiles of 64 keys where what the extras need beside 128 would not fit into the registers.
    return small ? forward<T, 64, 128, 4, true>(on, arguments, output, log_sum_exp, most_skipped)
                 : forward<T, 128, 64, 4, true>(on, arguments, output, log_sum_exp, most_skipped);
  }
  return small ? forward<T, 64, 128, 4, false>(on, arguments, output, log_sum_exp, most_skipped)
               : forward<T, 128, 128, 2, false>(on, arguments, output, log_sum_exp, most_skipped);
}

}  // namespace

bool attention_fits_hopper(const CudaDevice& on, const AttentionArguments& a) {
  const int64_t size = std::max(a.query.size(2), a.value.size(2));
  return kBuiltForHopper && properties(on.index).compute_major == 9 && attention_fits_tiles(a) && size > 32 &&
         size <= 128 && a.query.size(0) > 0 && a.key.size(0) > 0 && std::min(a.query.size(2), a.value.size(2)) > 0;
}

void attention_forward_hopper(CudaDevice& on, const AttentionArguments& arguments, const View& output,
                              const View& log_sum_exp, int most_skipped) {
  if (arguments.query.dtype == DType::float16) {
    forward_of_size<float16>(on, arguments, output, log_sum_exp, most_skipped);
  } else {
    forward_of_size<bfloat16>(on, arguments, output, log_sum_exp, most_skipped);
  }
}

}  // namespace mica::cuda
