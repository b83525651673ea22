// Mixtures of experts: which expert gets which row, in which order, and the rows that move there and back.
//
// Choosing reads the scores once from memory and k times from the cache: a warp a row, of a few hundred experts.
// Ordering: a block for each expert reads all choices twice, from the second-level cache but for the first block that
// does, and writes those of its own; no block waits for another, and the order is that of the choices. Rows move at
// the memory's rate: read and written once, 16 bytes a lane where rows lie so; sums over a row's choices run in their
// order, so that no result depends on the run.

#include <algorithm>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/best.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/device/scan.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/experts.h"

namespace mica::cuda {
namespace {

constexpr unsigned kRowsOfBlock = 4;  // a warp each

template <typename T>
struct Choosing {
  const T *scores, *correction;  // correction may be null
  int64_t rows, experts, k, groups, chosen_groups;
  Computed<T>* choice;  // scratch [rows, experts + groups]
  int64_t* chosen;
  T* weights;
};

// Experts outside the best groups become -infinity. A lane sees to groups of its own; `scores` of the groups go to
// scratch.
template <typename C>
__device__ void keep_best_groups(C* choice, C* scores, int64_t experts, int64_t groups, int64_t chosen) {
  const int64_t size = experts / groups;
  for (int64_t g = lane_index(); g < groups; g += kWarp) {
    C first = minus_infinity<C>(), second = minus_infinity<C>();
    for (int64_t i = 0; i < size; ++i) {
      const C value = choice[g * size + i];
      second = value > first ? first : value > second ? value : second;
      first = value > first ? value : first;
    }
    scores[g] = size > 1 ? first + second : first;
  }
  warp_barrier();
  for (int64_t g = lane_index(); g < groups; g += kWarp) {
    int64_t better = 0;
    for (int64_t other = 0; other < groups; ++other) {
      better += scores[other] > scores[g] || (scores[other] == scores[g] && other < g) ? 1 : 0;
    }
    for (int64_t i = 0; i < size && better >= chosen; ++i) choice[g * size + i] = minus_infinity<C>();
  }
}

template <typename T>
__global__ void choose_kernel(Choosing<T> a) {
  using C = Computed<T>;
  const int64_t row = int64_t{block_x()} * kRowsOfBlock + thread_y();
  if (row >= a.rows) return;  // whole warps
  const T* scores = a.scores + row * a.experts;
  C* choice = a.choice + row * (a.experts + a.groups);
  for (int64_t e = lane_index(); e < a.experts; e += kWarp) {
    const C score = widen(scores[e]);
    choice[e] = a.correction != nullptr ? widen(narrow<T>(score + widen(a.correction[e]))) : score;
  }
  warp_barrier();
  if (a.groups > 1) {
    keep_best_groups(choice, choice + a.experts, a.experts, a.groups, a.chosen_groups);
    warp_barrier();
  }
  Best<C> last{C(0), -1};
  for (int64_t j = 0; j < a.k; ++j) {
    Best<C> best{C(0), -1};
    for (int64_t e = lane_index(); e < a.experts; e += kWarp) {
      const Best<C> candidate{choice[e], e};
      if ((last.index < 0 || comes_first(last, candidate)) && e != last.index && comes_first(candidate, best)) {
        best = candidate;
      }
    }
    last = best_of_warp(best);
    if (lane_index() == 0) {
      a.chosen[row * a.k + j] = last.index;
      a.weights[row * a.k + j] = scores[last.index];
    }
  }
}

template <typename T>
__global__ void choose_backward_kernel(const int64_t* experts, const T* dweights, int64_t n, int64_t count, int64_t k,
                                       T* dscores) {
  const int64_t step = int64_t{blocks_x()} * threads_x();
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < n; i += step) {
    const int64_t row = i / count, expert = i - row * count;
    T value = narrow<T>(0.0F);
    for (int64_t j = 0; j < k; ++j) {
      if (experts[row * k + j] == expert) value = dweights[row * k + j];
    }
    dscores[i] = value;
  }
}

// Block x: the choices of expert x, behind those of the experts before it.
__global__ void order_kernel(const int64_t* experts, int64_t n, int32_t* offsets, int64_t* places, int64_t* slots) {
  int* counts = &shared_memory<int>();  // of the warps
  const int64_t expert = block_x();
  int below = 0;
  for (int64_t i = thread_x(); i < n; i += threads_x()) below += experts[i] < expert ? 1 : 0;
  int next = combine_block(below, Add{}, counts);
  if (thread_x() == 0) {
    offsets[expert] = next;
    if (block_x() + 1 == blocks_x()) offsets[expert + 1] = static_cast<int32_t>(n);
  }
  for (int64_t first = 0; first < n; first += threads_x()) {
    const int64_t i = first + thread_x();
    const bool mine = i < n && experts[i] == expert;
    const int up_to = scan_lanes(mine ? 1 : 0);
    if (lane_index() == kWarp - 1) counts[warp_index()] = up_to;
    block_barrier();
    int before = 0, all = 0;
    for (unsigned w = 0; w < threads_x() / kWarp; ++w) {
      before += w < warp_index() ? counts[w] : 0;
      all += counts[w];
    }
    if (mine) {
      const int64_t place = next + before + up_to - 1;
      places[place] = i;
      slots[i] = place;
    }
    next += all;
    block_barrier();
  }
}

// kCount neighbouring elements a thread.
template <typename T, int kCount>
__global__ void gather_kernel(const T* x, const T* weights, const int64_t* places, int64_t k, int64_t packs,
                              int64_t size, T* y) {
  const int64_t step = int64_t{blocks_x()} * threads_x(), of_row = size / kCount;
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < packs; i += step) {
    const int64_t place = i / of_row, column = (i - place * of_row) * kCount, choice = places[place];
    auto pack = load_pack<kCount>(x + choice / k * size + column);
    if (weights != nullptr) {
      const auto weight = widen(weights[choice]);
#pragma unroll
      for (int c = 0; c < kCount; ++c) pack.values[c] = narrow<T>(weight * widen(pack.values[c]));
    }
    store_pack(y + place * size + column, pack);
  }
}

template <typename T, int kCount>
__global__ void combine_kernel(const T* x, const T* weights, const int64_t* slots, int64_t k, int64_t packs,
                               int64_t size, T* y) {
  using C = Computed<T>;
  const int64_t step = int64_t{blocks_x()} * threads_x(), of_row = size / kCount;
  for (int64_t i = int64_t{block_x()} * threads_x() + thread_x(); i < packs; i += step) {
    const int64_t row = i / of_row, column = (i - row * of_row) * kCount;
    C sums[kCount] = {};
    for (int64_t j = 0; j < k; ++j) {
      const C weight = weights != nullptr ? widen(weights[row * k + j]) : C(1);
      const auto pack = load_pack<kCount>(x + slots[row * k + j] * size + column);
#pragma unroll
      for (int c = 0; c < kCount; ++c) sums[c] += weight * widen(pack.values[c]);
    }
    Pack<T, kCount> result;
#pragma unroll
    for (int c = 0; c < kCount; ++c) result.values[c] = narrow<T>(sums[c]);
    store_pack(y + row * size + column, result);
  }
}

// A warp a choice.
template <typename T>
__global__ void combine_weights_kernel(const T* dy, const T* x, const int64_t* slots, int64_t n, int64_t k,
                                       int64_t size, T* dweights) {
  using C = Computed<T>;
  const int64_t choice = int64_t{block_x()} * kRowsOfBlock + thread_y();
  if (choice >= n) return;  // whole warps
  const T *gradient = dy + choice / k * size, *row = x + slots[choice] * size;
  C sum = 0;
  for (int64_t i = lane_index(); i < size; i += kWarp) sum += widen(gradient[i]) * widen(row[i]);
  sum = combine_lanes(sum, Add{});
  if (lane_index() == 0) dweights[choice] = narrow<T>(sum);
}

LaunchShape warps(int64_t n) {
  return {{static_cast<unsigned>(ceil_div(n, kRowsOfBlock))}, {kWarp, kRowsOfBlock}};
}

// run(elements a thread moves at once), of rows like these.
template <typename T, typename Run>
void by_width(const View& x, const View& y, const Run& run) {
  const int64_t size = x.size(1);
  if (wide_rows(x, size) && wide_rows(y, size)) return run(std::integral_constant<int, kWide<T>>{});
  run(std::integral_constant<int, 1>{});
}

}  // namespace

void CudaExperts::choose(const View& scores, const ExpertChoice& choice, const View& experts, const View& weights) {
  if (experts.numel() == 0) return;
  with_floating("experts.choose", scores.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t rows = scores.size(0), count = scores.size(1);
    void* scratch = device_.queue.workspace(rows * (count + choice.groups) * static_cast<int64_t>(sizeof(Computed<T>)));
    const Choosing<T> a{scores.as<const T>(),
                        choice.correction.as<const T>(),
                        rows,
                        count,
                        experts.size(1),
                        choice.groups,
                        choice.chosen_groups,
                        static_cast<Computed<T>*>(scratch),
                        experts.as<int64_t>(),
                        weights.as<T>()};
    launch("experts.choose", device_.stream, warps(rows), choose_kernel<T>, a);
  });
}

void CudaExperts::choose_backward(const View& experts, const View& dweights, const View& dscores) {
  with_floating("experts.choose_backward", dscores.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    launch("experts.choose_backward", device_.stream, over(dscores.numel()), choose_backward_kernel<T>,
           experts.as<const int64_t>(), dweights.as<const T>(), dscores.numel(), dscores.size(1), experts.size(1),
           dscores.as<T>());
  });
}

void CudaExperts::order(const View& experts, const ExpertPlaces& places) {
  const int64_t n = experts.numel();
  const auto threads = static_cast<unsigned>(std::clamp<int64_t>(round_up(n, kWarp), kWarp, 1024));
  launch("experts.order", device_.stream, {{static_cast<unsigned>(places.experts())}, {threads}, 32 * sizeof(int)},
         order_kernel, experts.as<const int64_t>(), n, places.offsets.as<int32_t>(), places.places.as<int64_t>(),
         places.slots.as<int64_t>());
}

void CudaExperts::gather(const View& x, const View& weights, const ExpertPlaces& places, const View& y) {
  with_floating("experts.gather", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(x, y, [&]<int kCount>(std::integral_constant<int, kCount> /*width*/) {
      const int64_t packs = y.numel() / kCount;
      launch("experts.gather", device_.stream, over(packs), gather_kernel<T, kCount>, x.as<const T>(),
             weights.as<const T>(), places.places.as<const int64_t>(), places.slots.size(1), packs, y.size(1),
             y.as<T>());
    });
  });
}

void CudaExperts::combine(const View& x, const View& weights, const ExpertPlaces& places, const View& y) {
  with_floating("experts.combine", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    by_width<T>(x, y, [&]<int kCount>(std::integral_constant<int, kCount> /*width*/) {
      const int64_t packs = y.numel() / kCount;
      launch("experts.combine", device_.stream, over(packs), combine_kernel<T, kCount>, x.as<const T>(),
             weights.as<const T>(), places.slots.as<const int64_t>(), places.slots.size(1), packs, y.size(1),
             y.as<T>());
    });
  });
}

void CudaExperts::combine_weights_backward(const View& dy, const View& x, const ExpertPlaces& places,
                                           const View& dweights) {
  with_floating("experts.combine_weights_backward", x.dtype, device_.device(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t n = dweights.numel();
    launch("experts.combine_weights_backward", device_.stream, warps(n), combine_weights_kernel<T>, dy.as<const T>(),
           x.as<const T>(), places.slots.as<const int64_t>(), n, places.slots.size(1), dy.size(1), dweights.as<T>());
  });
}

}  // namespace mica::cuda
