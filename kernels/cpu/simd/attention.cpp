// Attention forward over sequences of unequal lengths.
//
// Per head of a sequence: 4 * queries * keys * size operations and queries * keys exponentials; keys and values are
// read once from memory and from L2 by each tile of queries. Fast because both products run in the tile kernels of the
// linear layers (keys are transposed into panels once per head, values copied side by side), the scores of a tile of 8
// queries and 528 keys never leave L1, and threads share (sequence, head, tile) evenly by cost. Longer sequences meet
// their keys in blocks, always cut at the same places, with running maximum and sum.

#include "mica/kernels/cpu/simd/attention.h"

#include <cmath>
#include <limits>

#include "mica/kernels/cpu/simd/attention_decode.h"
#include "mica/kernels/cpu/simd/scratch.h"
#include "mica/kernels/cpu/simd/tile.h"

namespace mica::cpu::simd {
namespace {

constexpr int64_t kKeyBlock = 528;  // a multiple of every target's panel width; sentences of 512 fit
constexpr int64_t kMaxTile = kMaxTileRows;

// A thread's work: it walks over (sequence, head, tile) in order and keeps the packed keys and values of the key head
// it is at.
class Worker {
 public:
  Worker(const AttentionArguments& arguments, const View& output, const View& log_sum_exp, bool bfloat16)
      : a_(arguments),
        output_(output),
        log_sum_exp_(log_sum_exp),
        reach_(arguments),
        half_(bfloat16),
        kernels_(tile_kernels()),
        value_kernels_(bfloat16 ? *bfloat16_tile_kernels() : tile_kernels()),
        size_(arguments.query.size(2)),
        value_size_(arguments.value.size(2)),
        value_row_(ceil_div(value_size_, value_kernels_.lanes) * value_kernels_.lanes) {}

  void tile(int64_t sequence, int64_t head, int64_t index, int64_t tiles) {
    const Sequence s(a_, sequence);
    const int64_t key_head = head / (a_.query.size(1) / a_.key.size(1));
    if (sequence != packed_sequence_ || key_head != packed_head_) {
      pack(s, key_head);
      if (a_.key_mask && sequence != packed_sequence_) make_mask(a_, s, packed_, mask_);
      packed_sequence_ = sequence;
      packed_head_ = key_head;
    }
    plan_prefetch(s, key_head, index);
    attend(s, sequence, head, s.queries * index / tiles, s.queries * (index + 1) / tiles);
  }

 private:
  // Words that hold the values of n keys.
  int64_t words(int64_t n) const { return half_ ? (n + 1) / 2 : n; }

  void pack(const Sequence& s, int64_t key_head) {
    const int64_t lanes = kernels_.lanes, width = kernels_.width();
    packed_ = s.visible(reach_);
    packed_.begin = packed_.begin / width * width;
    const int64_t keys = packed_.size(), padded = ceil_div(keys, lanes) * lanes;
    keys_ = scratch(Scratch::keys, padded * size_ + words(keys) * value_row_ + keys);
    values_ = keys_ + padded * size_;
    mask_ = values_ + words(keys) * value_row_;
    float* space = scratch(Scratch::rows, lanes * std::max(size_, value_size_));
    const int64_t first = s.key_begin + packed_.begin;
    for (int64_t k = 0; k < keys; k += lanes) {
      const int64_t panel = k / width, panel_width = std::min(width, padded - panel * width);
      const int64_t rows = std::min(lanes, keys - k);
      const FloatRows key = float_rows(a_.key, first + k, key_head, rows, space);
      transpose_rows(key.data, key.stride, rows, size_, keys_ + panel * width * size_ + k % width, panel_width);
    }
    const auto pack_values = half_ ? pair_rows_as_bfloat16 : copy_rows;
    const int64_t step = a_.value.dtype == DType::float32 ? std::max<int64_t>(1, keys) : lanes;
    for (int64_t k = 0; k < keys; k += step) {
      const int64_t rows = std::min(step, keys - k);
      const FloatRows value = float_rows(a_.value, first + k, key_head, rows, space);
      pack_values(value.data, value.stride, rows, value_size_, values_ + words(k) * value_row_, value_row_);
    }
  }

  // The rows of the next head lie far apart, where no hardware prefetcher finds them: tile after tile, the product with
  // the values fetches 128 bytes of each of its keys, then of its values.
  void plan_prefetch(const Sequence& s, int64_t key_head, int64_t tile_index) {
    next_ = nullptr;
    const int64_t keys = packed_.size();
    if (keys == 0 || key_head + 1 == a_.key.size(1) || a_.key.dtype != DType::float32) return;
    constexpr int64_t kFloats = 32;
    const int64_t steps = std::max<int64_t>(1, words(std::min(keys, kKeyBlock)));
    const int64_t turns = ceil_div(keys, steps);  // of a tile, to come by all rows
    const int64_t column = tile_index / turns * kFloats, row = packed_.begin + tile_index % turns * steps;
    const int64_t key_columns = ceil_div(size_, kFloats) * kFloats;
    if (column < key_columns) {
      next_ = element(a_.key, s.key_begin + row, key_head + 1) + column;
      next_step_ = a_.key.stride(0);
    } else if (column - key_columns < value_size_) {
      next_ = element(a_.value, s.key_begin + row, key_head + 1) + column - key_columns;
      next_step_ = a_.value.stride(0);
    }
  }

  // The queries [first, last) of a sequence, at most a tile.
  void attend(const Sequence& s, int64_t sequence, int64_t head, int64_t first, int64_t last) {
    const int64_t rows = last - first;
    float largest[kMaxTile], sum[kMaxTile], correction[kMaxTile];
    std::fill_n(largest, kMaxTile, -std::numeric_limits<float>::infinity());
    std::fill_n(sum, kMaxTile, 0.0F);
    ScoreRows task = score_task(a_, s, sequence, head, first, rows, mask_ - packed_.begin);
    task.stride = kKeyBlock;
    task.largest = largest;
    task.sum = sum;
    task.correction = correction;

    float* scores = scratch(Scratch::scores, kMaxTile * (kKeyBlock + value_row_ + kKeyBlock) + kKeyBlock);
    float* result = scores + kMaxTile * kKeyBlock;
    float* weights = half_ ? result + kMaxTile * value_row_ : scores;
    const float* query = element(a_.query, s.query_begin + first, head);
    const KeyRange seen = task.visible();
    const int64_t begin = seen.begin / kernels_.width() * kernels_.width();  // where a panel starts
    for (int64_t k = begin; k < seen.end; k += kKeyBlock) {
      const int64_t count = std::min(kKeyBlock, seen.end - k);
      const bool later = k > begin;
      multiply_keys(query, rows, k, count, scores);
      if (a_.softcap > 0) cap_rows(task, a_.scale, a_.softcap, count, scores, nullptr);
      score_rows(task, scores, k, count, !later);
      if (a_.dropout > 0) drop_weights(s, sequence, head, first, rows, k, count, scores);
      if (half_) convert_rows_to_bfloat16(scores, kKeyBlock, rows, count, weights);
      if (later) scale_rows(result, value_row_, rows, value_row_, correction, result, value_row_);
      multiply_values(weights, half_ ? words(count) : kKeyBlock, rows, k, count, later, result);
    }

    const int64_t out_row = s.query_begin + first;
    float* out = const_cast<float*>(element(output_, out_row, head));
    for (int64_t r = 0; r < rows; ++r) {
      const RowEnd end = end_row(a_, head, double{task.exponent} * double{largest[r]}, sum[r]);
      if (end.blind) mean_of_values(s, sequence, head, first + r, scores, result + r * value_row_);
      correction[r] = end.factor;
      if (log_sum_exp_) {
        log_sum_exp_.as<float>()[head * log_sum_exp_.stride(0) + (out_row + r) * log_sum_exp_.stride(1)] = end.total;
      }
    }
    scale_rows(result, value_row_, rows, value_size_, correction, out, output_.stride(0));
  }

  void multiply_keys(const float* query, int64_t rows, int64_t first, int64_t count, float* scores) {
    const int64_t lanes = kernels_.lanes, width = kernels_.width();
    const int64_t padded = ceil_div(packed_.size(), lanes) * lanes;
    for (int64_t k = first; k < first + count; k += width) {
      const int64_t at = k - packed_.begin, panel_width = std::min(width, padded - at);
      const TileTask task{.a = query,
                          .a_row = a_.query.stride(0),
                          .b = keys_ + at * size_,
                          .b_row = panel_width,
                          .depth = size_,
                          .c = scores + k - first,
                          .c_row = kKeyBlock};
      const int64_t vectors = std::min(panel_width, ceil_div(first + count - k, lanes) * lanes) / lanes;
      kernels_.product[static_cast<size_t>(vectors - 1)][static_cast<size_t>(rows - 1)](task);
    }
  }

  void multiply_values(const float* weights, int64_t weights_row, int64_t rows, int64_t first, int64_t count, bool add,
                       float* result) {
    const int64_t at = words(first - packed_.begin);
    const int64_t lanes = value_kernels_.lanes, vectors = value_row_ / lanes, parts = ceil_div(vectors, kTileVectors);
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t begin = vectors * p / parts, wide = vectors * (p + 1) / parts - begin;
      const TileTask task{.a = weights,
                          .a_row = weights_row,
                          .b = values_ + at * value_row_ + begin * lanes,
                          .b_row = value_row_,
                          .depth = words(count),
                          .c = result + begin * lanes,
                          .c_row = value_row_,
                          .add = add,
                          .next = p == 0 && !add ? next_ : nullptr,
                          .next_step = p == 0 && !add && next_ != nullptr ? next_step_ : 0};
      value_kernels_.product[static_cast<size_t>(wide - 1)][static_cast<size_t>(rows - 1)](task);
    }
  }

  void drop_weights(const Sequence& s, int64_t sequence, int64_t head, int64_t first, int64_t rows, int64_t first_key,
                    int64_t count, float* scores) {
    float* factors = scores + kMaxTile * (kKeyBlock + value_row_ + kKeyBlock);
    for (int64_t r = 0; r < rows; ++r) {
      dropout_factors(a_, s, sequence, head, first + r, first_key, count, factors);
      multiply_row(scores + r * kKeyBlock, factors, count);
    }
  }

  // What a query that sees no key gets: all keys weigh the same, or none beside a sink. `space` is that of the scores.
  void mean_of_values(const Sequence& s, int64_t sequence, int64_t head, int64_t query, float* space, float* to) const {
    const auto share = 1 / static_cast<float>(std::max<int64_t>(1, s.keys));
    std::fill_n(to, value_row_, 0.0F);
    if (a_.sinks) return;
    float* wide = scratch(Scratch::rows, value_size_);
    for (int64_t first = 0; first < s.keys; first += kKeyBlock) {
      const int64_t count = std::min(kKeyBlock, s.keys - first);
      std::fill_n(space, count, 1.0F);
      if (a_.dropout > 0) dropout_factors(a_, s, sequence, head, query, first, count, space);
      for (int64_t k = 0; k < count; ++k) {
        const float* value = float_row(a_.value, s.key_begin + first + k, packed_head_, wide);
        for (int64_t i = 0; i < value_size_; ++i) to[i] += space[k] * share * value[i];
      }
    }
  }

  const AttentionArguments& a_;
  const View &output_, &log_sum_exp_;
  const Reach reach_;
  const bool half_;  // weights and values are multiplied in pairs of bfloat16
  const TileKernels &kernels_, &value_kernels_;
  const int64_t size_, value_size_, value_row_;
  int64_t packed_sequence_ = -1, packed_head_ = -1;
  KeyRange packed_ = {0, 0};  // of the sequence's keys; begins with a panel
  float* keys_ = nullptr;     // panels
  float* values_ = nullptr;   // [words of keys, value_row_]
  float* mask_ = nullptr;     // [keys]
  const float* next_ = nullptr;
  int64_t next_step_ = 0;
};

}  // namespace

void attention_forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                       bool bfloat16) {
  bfloat16 = bfloat16 && bfloat16_tile_kernels() != nullptr;
  const int64_t heads = arguments.query.size(1), sequences = arguments.query_segments.count();
  if (arguments.value.size(2) == 0) return;
  const int64_t tallest = tile_kernels().rows;
  attention_decode(arguments, output, log_sum_exp);
  double total = 0;
  const Reach reach(arguments);
  const auto cost = [&](int64_t i) {  // products, and the packing of the keys
    const Sequence s(arguments, i);
    if (decodes(arguments, s)) return 0.0;
    return static_cast<double>(heads) * (static_cast<double>(s.queries) * static_cast<double>(s.sight(reach) + 32) +
                                         static_cast<double>(s.visible(reach).size()) * 4);
  };
  for (int64_t i = 0; i < sequences; ++i) total += cost(i);
  if (total == 0) return;
  const auto tiles = [&](int64_t i) {
    const Sequence s(arguments, i);
    return decodes(arguments, s) ? 0 : ceil_div(s.queries, tallest);
  };
  const bool small = total * static_cast<double>(arguments.query.size(2)) < 65536;
  share_by_cost(
      sequences, small, [&](int64_t i) { return heads * tiles(i); }, cost,
      [&] {
        return [&, worker = Worker(arguments, output, log_sum_exp, bfloat16)](int64_t i, int64_t unit) mutable {
          const int64_t count = tiles(i);
          worker.tile(i, unit / count, unit % count, count);
        };
      });
}

}  // namespace mica::cpu::simd
