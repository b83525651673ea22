// The next token of each row of logits: a block a row.
//
// Bytes: a row of `vocab` floats once from memory, and then again from the second-level cache: twice for a plain draw,
// three times more for each of top_k and top_p, once more for ties, min_p and each change of the sum. Out go 8 bytes a
// row, in place of the whole row that a host would need. Operations: a handful a token and pass.
// Why it is fast: one launch; nothing is sorted. A cut is found by its place in the order of the scores, 11 bits of
// their representation at a time: a histogram of what still may be there, and a walk down from its top. What bounds a
// pass is one multiprocessor's path to the cache, some 10 us for 128k tokens, and in histograms of scores that are much
// alike the adders of shared memory.
//
// Sums of probabilities are whole multiples of 2^-52, so that atomics in any order make the same.

#include <cmath>

#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/device/combine.h"
#include "mica/kernels/cuda/device/thread.h"
#include "mica/kernels/cuda/support.h"
#include "mica/kernels/random.h"
#include "mica/kernels/sampling.h"

namespace mica::cuda {
namespace {

using Sum = unsigned long long;  // as the atomics have it

constexpr unsigned kThreads = 1024;
constexpr int kDigits = 3;  // of a score's 32 bits: 11, 11 and 10
constexpr int kBins = 1 << 11;
constexpr int kTiles = 256;

struct Sampling {
  const float* logits;
  int64_t row_stride;
  int vocab;
  SamplingRule rule;
  const int64_t *streams, *indices;
  int64_t* tokens;
};

struct Shared {
  Sum bins[kBins];
  Sum tiles[kTiles];
  Sum sums[32];
  Sum found, above;
  int place, tile;
};

/// Orders as the numbers do; a negative zero is a zero.
__device__ __forceinline__ uint32_t order_of(float x) {
  const float y = x + 0.0F;
  uint32_t bits;
  memcpy(&bits, &y, sizeof(bits));
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}

__device__ __forceinline__ Sum share_of(float probability) {
  return static_cast<Sum>(probability * 0x1p52F);
}

__device__ __forceinline__ bool below(Sum sum, float p) {
  return static_cast<float>(sum) * 0x1p-52F < p;
}

/// One row, and what the cuts so far have left of it.
class Row {
 public:
  __device__ __forceinline__ Row(const Sampling& a, Shared& shared)
      : logits_(a.logits + block_x() * a.row_stride), vocab_(a.vocab), rule_(a.rule), shared_(shared) {}

  /// The first largest logit, or a NoToken.
  __device__ __forceinline__ int64_t best() {
    Sum mine = 0;
    bool undefined = false;
    for (int i = static_cast<int>(thread_x()); i < vocab_; i += kThreads) {
      const float x = logits_[i];
      undefined = undefined || x != x;
      const Sum here = Sum{order_of(x)} << 32 | static_cast<uint32_t>(~i);
      mine = here > mine ? here : mine;
    }
    if (undefined) mine = ~Sum{0};
    mine = combine_block(mine, Largest{}, shared_.sums);
    if (mine == ~Sum{0}) return static_cast<int64_t>(NoToken::undefined);
    const int at = static_cast<int>(~static_cast<uint32_t>(mine));
    if (vocab_ == 0 || logits_[at] == -INFINITY) return static_cast<int64_t>(NoToken::all_barred);
    top_ = logits_[at] / rule_.temperature;
    return at;
  }

  __device__ __forceinline__ bool top_is_finite() const { return top_ < INFINITY; }

  /// The sum of what is left, by which probabilities are told.
  __device__ __forceinline__ void weigh() {
    float sum = 0;
    for (int i = static_cast<int>(thread_x()); i < vocab_; i += kThreads) {
      const float x = score(i);
      if (kept(i, x)) sum += std::exp(x - top_);
    }
    total_ = combine_block(sum, Add{}, reinterpret_cast<float*>(shared_.sums));
  }

  __device__ __forceinline__ void keep_top_k() {
    const auto count = static_cast<Sum>(rule_.top_k);
    Sum above;
    bar_ = select([](int, float) { return Sum{1}; }, [count](Sum sum) { return sum < count; }, above);
  }

  __device__ __forceinline__ void keep_top_p() {
    const float p = rule_.top_p;
    Sum above;
    const uint32_t bar = select([this](int, float x) { return share_of(probability(x)); },
                                [p](Sum sum) { return below(sum, p); }, above);
    if (bar == 0) return;  // all together stay below p
    // Those that equal the last one: the latest of them stay, as many as it takes.
    Sum ties = 0;
    for (int i = static_cast<int>(thread_x()); i < vocab_; i += kThreads) {
      const float x = score(i);
      if (kept(i, x) && order_of(x) == bar) ++ties;
    }
    ties = combine_block(ties, Add{}, shared_.sums);
    const Sum each = share_of(probability(score_of(bar)));
    Sum least = 1, most = ties;
    while (least < most) {
      const Sum middle = (least + most) / 2;
      if (below(above + middle * each, p)) {
        least = middle + 1;
      } else {
        most = middle;
      }
    }
    const int from = least == ties ? 0
                                   : walk(
                                         [this, bar](int i) {
                                           const float x = score(i);
                                           return Sum{kept(i, x) && order_of(x) == bar ? 1U : 0U};
                                         },
                                         [ties, least](Sum) { return ties - least; });
    bar_ = bar;
    tied_from_ = from;
  }

  /// Of the probabilities as weigh() left them.
  __device__ __forceinline__ void keep_min_p() {
    const float most = probability(top_), bar = rule_.min_p * most;
    least_ = bar < most ? bar : most;
    least_total_ = total_;
  }

  __device__ __forceinline__ int draw(double u) {
    return walk(
        [this](int i) {
          const float x = score(i);
          return kept(i, x) ? share_of(probability(x)) : Sum{0};
        },
        [u](Sum total) {
          const auto target = static_cast<Sum>(u * static_cast<double>(total));
          return target < total ? target : total - 1;  // the product may have been rounded up
        });
  }

 private:
  __device__ __forceinline__ float score(int i) const { return logits_[i] / rule_.temperature; }
  __device__ __forceinline__ float probability(float x) const { return std::exp(x - top_) / total_; }
  __device__ __forceinline__ static float score_of(uint32_t order) {
    const uint32_t bits = (order >> 31) != 0 ? order & 0x7fffffffU : ~order;
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
  }
  __device__ __forceinline__ bool kept(int i, float x) const {
    const uint32_t order = order_of(x);
    if (order < bar_ || (order == bar_ && i < tied_from_)) return false;
    return !(least_ > 0) || std::exp(x - top_) / least_total_ >= least_;
  }

  /// Walks down the scores and adds weights up as long as more(sum): the order of the score at which it no longer
  /// holds, and the sum of those above it; 0 where it holds for all.
  template <typename Weight, typename More>
  __device__ __forceinline__ uint32_t select(const Weight& weight, const More& more, Sum& above) {
    uint32_t prefix = 0;
    int shift = 32;
    above = 0;
    for (int digit = 0; digit < kDigits; ++digit) {
      const int bits = digit < 2 ? 11 : 10;
      const int before = shift;
      shift -= bits;
      for (int bin = static_cast<int>(thread_x()); bin < kBins; bin += kThreads) shared_.bins[bin] = 0;
      block_barrier();
      for (int i = static_cast<int>(thread_x()); i < vocab_; i += kThreads) {
        const float x = score(i);
        const uint32_t order = order_of(x);
        if (!kept(i, x) || (before < 32 && order >> before != prefix)) continue;
        atomic_add(&shared_.bins[order >> shift & ((1U << bits) - 1)], Sum{weight(i, x)});
      }
      block_barrier();
      if (warp_index() == 0) find_bin(1 << bits, above, more);
      block_barrier();
      const int bin = shared_.place;
      above = shared_.above;
      block_barrier();  // all have read it
      if (bin < 0) return 0;
      prefix = prefix << bits | static_cast<uint32_t>(bin);
    }
    return prefix;
  }

  /// One warp: the first bin from the top whose sum, with all above it, is no more(); a lane has a run of bins.
  template <typename More>
  __device__ __forceinline__ void find_bin(int bins, Sum above, const More& more) {
    const int run = bins / static_cast<int>(kWarp), lane = static_cast<int>(lane_index());
    const int first = bins - 1 - lane * run;  // down to first - run + 1
    Sum mine = 0;
    for (int k = 0; k < run; ++k) mine += shared_.bins[first - k];
    Sum through = mine;
    for (unsigned distance = 1; distance < kWarp; distance *= 2) {
      const Sum other = shuffle_up(through, distance);
      if (lane >= static_cast<int>(distance)) through += other;
    }
    const uint32_t ends = ballot(mine != 0 && !more(above + through));
    if (ends == 0) {
      if (lane == 0) shared_.place = -1;
      return;
    }
    if ((ends & ((1U << lane) - 1)) != 0 || (ends >> lane & 1) == 0) return;
    Sum sum = above + through - mine;
    int bin = first;
    for (;; --bin) {
      if (shared_.bins[bin] != 0 && !more(sum + shared_.bins[bin])) break;
      sum += shared_.bins[bin];
    }
    shared_.place = bin;
    shared_.above = sum;
  }

  /// The first index at which the sum of weights from index 0 on is above a target, which is told from the whole sum.
  template <typename Weight, typename Target>
  __device__ __forceinline__ int walk(const Weight& weight, const Target& target_of) {
    const int tile = (vocab_ + kTiles - 1) / kTiles;
    const int lane = static_cast<int>(lane_index()), warp = static_cast<int>(warp_index());
    for (int t = warp; t < kTiles; t += static_cast<int>(kThreads / kWarp)) {
      Sum sum = 0;
      for (int i = t * tile + lane; i < min(vocab_, (t + 1) * tile); i += static_cast<int>(kWarp)) sum += weight(i);
      sum = combine_lanes(sum, Add{});
      if (lane == 0) shared_.tiles[t] = sum;
    }
    block_barrier();
    if (thread_x() == 0) {
      Sum total = 0;
      for (int t = 0; t < kTiles; ++t) total += shared_.tiles[t];
      const Sum target = target_of(total);
      Sum sum = 0;
      int t = 0;
      while (t < kTiles - 1 && sum + shared_.tiles[t] <= target) sum += shared_.tiles[t++];
      shared_.tile = t;
      shared_.found = target - sum;
    }
    block_barrier();
    if (warp == 0) {
      const Sum target = shared_.found;
      const int end = min(vocab_, (shared_.tile + 1) * tile);
      Sum sum = 0;
      for (int first = shared_.tile * tile; first < end; first += static_cast<int>(kWarp)) {
        Sum through = first + lane < end ? weight(first + lane) : 0;
        for (unsigned distance = 1; distance < kWarp; distance *= 2) {
          const Sum other = shuffle_up(through, distance);
          if (lane >= static_cast<int>(distance)) through += other;
        }
        const uint32_t beyond = ballot(sum + through > target);
        if (beyond != 0) {
          if ((beyond & ((1U << lane) - 1)) == 0 && (beyond >> lane & 1) != 0) shared_.place = first + lane;
          break;
        }
        sum += shuffle(through, kWarp - 1);
      }
    }
    block_barrier();
    const int place = shared_.place;
    block_barrier();  // all have read it
    return place;
  }

  __device__ __forceinline__ static int min(int a, int b) { return a < b ? a : b; }

  const float* logits_;
  int vocab_;
  const SamplingRule& rule_;
  Shared& shared_;
  float top_ = 0, total_ = 1;
  uint32_t bar_ = 0;   // of what order_of() gives
  int tied_from_ = 0;  // those that equal it stay from this index on
  float least_ = 0, least_total_ = 1;
};

__global__ void __launch_bounds__(kThreads) sampling_kernel(Sampling a) {
  Row row(a, shared_memory<Shared>());
  int64_t token = row.best();
  if (token >= 0 && a.rule.sample) {
    if (!row.top_is_finite()) {
      token = static_cast<int64_t>(a.rule.cuts() ? NoToken::infinite : NoToken::undefined);
    } else {
      if (a.rule.top_k > 0 && a.rule.top_k < a.vocab) row.keep_top_k();
      row.weigh();
      if (a.rule.top_p < 1) {
        row.keep_top_p();
        row.weigh();
      }
      if (a.rule.min_p >= 0) {
        row.keep_min_p();
        row.weigh();
      }
      const auto stream = static_cast<uint64_t>(a.streams[block_x()]);
      const auto index = static_cast<uint64_t>(a.indices[block_x()]);
      const uint64_t bits =
          (uint64_t{philox_word(a.rule.seed, stream, index)} << 32 | philox_word(a.rule.seed, stream, index + 1)) >> 11;
      token = row.draw(static_cast<double>(bits) * 0x1p-53);
    }
  }
  if (thread_x() == 0) a.tokens[block_x()] = token;
}

}  // namespace

void CudaSampling::choose(const View& logits, const SamplingRule& rule, const View& streams, const View& indices,
                          const View& tokens) {
  const Sampling a{logits.as<const float>(),
                   logits.stride(0),
                   static_cast<int>(logits.size(1)),
                   rule,
                   streams.as<const int64_t>(),
                   indices.as<const int64_t>(),
                   tokens.as<int64_t>()};
  launch("sampling.choose", device_.stream,
         {{static_cast<unsigned>(logits.size(0))}, {kThreads}, static_cast<int64_t>(sizeof(Shared))}, sampling_kernel,
         a);
}

}  // namespace mica::cuda
