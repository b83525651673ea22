// Attention backward.
//
// Per head of a sequence five products of 2 * queries * keys * size operations (scores again, dO · Vᵀ, dS · K, dSᵀ · Q,
// Pᵀ · dO) and queries * keys exponentials, of the keys that a block of queries sees. All five run in the tile kernels.
// Weights and score gradients exist only for a block of queries at a time, in L2; dSᵀ and Pᵀ are read in place, as the
// tile takes A at any strides. dK and dV are summed query by query in order, on one thread, so nothing depends on how
// the work is shared.

#include <limits>

#include "mica/kernels/cpu/simd/attention.h"
#include "mica/kernels/cpu/simd/attention_parts.h"
#include "mica/kernels/cpu/simd/scratch.h"
#include "mica/kernels/cpu/simd/tile.h"

namespace mica::cpu::simd {
namespace {

constexpr int64_t kQueryBlock = 32;

struct Operands {
  const AttentionArguments& a;
  const View &output, &log_sum_exp, &d_output, &d_query, &d_key, &d_value;
};

// A thread's work: all query heads of a key head, one after the other.
class Worker {
 public:
  explicit Worker(const Operands& operands)
      : o_(operands),
        a_(operands.a),
        kernels_(tile_kernels()),
        size_(a_.query.size(2)),
        value_size_(a_.value.size(2)),
        row_(padded(size_)),
        value_row_(padded(value_size_)) {}

  void key_head(int64_t sequence, int64_t key_head) {
    const Sequence s(a_, sequence);
    const int64_t group = a_.query.size(1) / a_.key.size(1);
    if (s.keys == 0) {
      for (int64_t q = 0; q < s.queries; ++q)
        for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head)
          std::fill_n(element(o_.d_query, s.query_begin + q, head), size_, 0.0F);
      return;
    }
    pack(s, key_head);
    std::fill_n(d_keys_, s.keys * row_, 0.0F);
    std::fill_n(d_values_, s.keys * value_row_, 0.0F);
    for (int64_t head = key_head * group; head < (key_head + 1) * group; ++head) {
      for (int64_t first = 0; first < s.queries; first += kQueryBlock) {
        block(s, sequence, head, first, std::min(kQueryBlock, s.queries - first));
      }
    }
    std::fill_n(factors_, s.keys, a_.scale);
    scale_rows(d_keys_, row_, s.keys, size_, factors_, element(o_.d_key, s.key_begin, key_head), o_.d_key.stride(0));
    std::fill_n(factors_, s.keys, 1.0F);
    scale_rows(d_values_, value_row_, s.keys, value_size_, factors_, element(o_.d_value, s.key_begin, key_head),
               o_.d_value.stride(0));
  }

 private:
  int64_t padded(int64_t n) const { return ceil_div(n, kernels_.lanes) * kernels_.lanes; }

  // Panels of Kᵀ and Vᵀ, rows of K, sums of dK and dV, and the space of a block.
  void pack(const Sequence& s, int64_t key_head) {
    const int64_t wide = padded(s.keys);
    score_row_ = wide + 16;  // rows at a distance that is no multiple of a page
    float* space = scratch(Scratch::keys, wide * (size_ + value_size_) + s.keys * (2 * row_ + value_row_ + 2) +
                                              kQueryBlock * (3 * score_row_ + 2 * row_ + value_row_));
    const auto take = [&](int64_t count) { return (space += count) - count; };
    keys_ = take(wide * size_);
    values_ = take(wide * value_size_);
    key_rows_ = take(s.keys * row_);
    d_keys_ = take(s.keys * row_);
    d_values_ = take(s.keys * value_row_);
    weights_ = take(kQueryBlock * score_row_);
    gradients_ = take(kQueryBlock * score_row_);
    slopes_ = take(kQueryBlock * score_row_);
    query_rows_ = take(kQueryBlock * row_);
    d_output_rows_ = take(kQueryBlock * value_row_);
    result_ = take(kQueryBlock * row_);
    mask_ = take(s.keys);
    factors_ = take(s.keys);
    if (a_.key_mask) make_mask(a_, s, {0, s.keys}, mask_);
    transpose(element(a_.key, s.key_begin, key_head), a_.key.stride(0), s.keys, size_, keys_);
    transpose(element(a_.value, s.key_begin, key_head), a_.value.stride(0), s.keys, value_size_, values_);
    copy_rows(element(a_.key, s.key_begin, key_head), a_.key.stride(0), s.keys, size_, key_rows_, row_);
  }

  void transpose(const float* from, int64_t stride, int64_t rows, int64_t depth, float* panels) const {
    const int64_t lanes = kernels_.lanes, width = kernels_.width(), wide = padded(rows);
    for (int64_t r = 0; r < rows; r += lanes) {
      const int64_t panel = r / width, panel_width = std::min(width, wide - panel * width);
      transpose_rows(from + r * stride, stride, std::min(lanes, rows - r), depth,
                     panels + panel * width * depth + r % width, panel_width);
    }
  }

  // C = A · B for rows of any number: tile by tile.
  void multiply(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row, int64_t a_depth,
                const float* b, int64_t b_row, bool add, float* c, int64_t c_row) const {
    const int64_t lanes = kernels_.lanes, vectors = ceil_div(columns, lanes), parts = ceil_div(vectors, kTileVectors);
    for (int64_t p = 0; p < parts; ++p) {
      const int64_t begin = vectors * p / parts, end = vectors * (p + 1) / parts;
      column_of_tiles({.a = a,
                       .a_row = a_row,
                       .a_depth = a_depth,
                       .b = b + begin * lanes,
                       .b_row = b_row,
                       .depth = depth,
                       .c = c + begin * lanes,
                       .c_row = c_row,
                       .add = add},
                      rows, end - begin);
    }
  }

  // Scores, or their like: A · B for the columns `range` of panels that hold `wide` columns in all.
  void multiply_panels(int64_t rows, const KeyRange& range, int64_t depth, const float* a, int64_t a_row,
                       const float* panels, int64_t wide, float* c) const {
    const int64_t lanes = kernels_.lanes, width = kernels_.width();
    for (int64_t first = range.begin; first < range.end; first += width) {
      const TileTask task{.a = a,
                          .a_row = a_row,
                          .b = panels + first * depth,
                          .b_row = std::min(width, wide - first),
                          .depth = depth,
                          .c = c + first - range.begin,
                          .c_row = score_row_};
      column_of_tiles(task, rows, ceil_div(std::min(width, range.end - first), lanes));
    }
  }

  // The task for a column of tiles, for all rows of A.
  void column_of_tiles(const TileTask& all, int64_t rows, int64_t vectors) const {
    const int64_t tiles = ceil_div(rows, kernels_.rows);
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t first = rows * t / tiles, last = rows * (t + 1) / tiles;
      TileTask task = all;
      task.a += first * all.a_row;
      task.c += first * all.c_row;
      kernels_.product[static_cast<size_t>(vectors - 1)][static_cast<size_t>(last - first - 1)](task);
    }
  }

  // The queries [first, first + rows) of one head.
  void block(const Sequence& s, int64_t sequence, int64_t head, int64_t first, int64_t rows) {
    const int64_t at = s.query_begin + first;
    ScoreRows task = score_task(a_, s, sequence, head, first, rows, mask_);
    task.stride = score_row_;
    float log_sum_exp[kQueryBlock];
    bool blind = false;
    for (int64_t r = 0; r < rows; ++r) {
      log_sum_exp[r] =
          o_.log_sum_exp.as<const float>()[head * o_.log_sum_exp.stride(0) + (at + r) * o_.log_sum_exp.stride(1)];
      blind = blind || (!task.sinks && log_sum_exp[r] == std::numeric_limits<float>::lowest());
    }
    // A query that sees no key weighs them all.
    KeyRange seen = blind ? KeyRange{0, s.keys} : task.visible();
    seen.begin = seen.begin / kernels_.width() * kernels_.width();  // where a panel starts
    const int64_t keys = seen.size();
    if (keys == 0) {
      for (int64_t r = 0; r < rows; ++r) std::fill_n(element(o_.d_query, at + r, head), size_, 0.0F);
      return;
    }
    copy_rows(element(a_.query, at, head), a_.query.stride(0), rows, size_, query_rows_, row_);
    copy_rows(element(o_.d_output, at, head), o_.d_output.stride(0), rows, value_size_, d_output_rows_, value_row_);

    multiply_panels(rows, seen, size_, query_rows_, row_, keys_, padded(s.keys), weights_);
    multiply_panels(rows, seen, value_size_, d_output_rows_, value_row_, values_, padded(s.keys), gradients_);
    const bool capped = a_.softcap > 0;
    if (capped) cap_rows(task, a_.scale, a_.softcap, keys, weights_, slopes_);
    weight_rows(task, weights_, seen.begin, keys, log_sum_exp);
    for (int64_t r = 0; r < rows; ++r) {
      const float* out = element(o_.output, at + r, head);
      const float total = dot_row(d_output_rows_ + r * value_row_, out, value_size_);
      const bool drop = a_.dropout > 0;
      if (drop) dropout_factors(a_, s, sequence, head, first + r, seen.begin, keys, factors_);
      score_gradient_row(weights_ + r * score_row_, gradients_ + r * score_row_, drop ? factors_ : nullptr, total,
                         keys);
      if (capped) multiply_row(gradients_ + r * score_row_, slopes_ + r * score_row_, keys);
    }

    multiply(rows, size_, keys, gradients_, score_row_, 1, key_rows_ + seen.begin * row_, row_, false, result_, row_);
    float scale[kQueryBlock];
    std::fill_n(scale, rows, a_.scale);
    scale_rows(result_, row_, rows, size_, scale, element(o_.d_query, at, head), o_.d_query.stride(0));
    multiply(keys, size_, rows, gradients_, 1, score_row_, query_rows_, row_, true, d_keys_ + seen.begin * row_, row_);
    multiply(keys, value_size_, rows, weights_, 1, score_row_, d_output_rows_, value_row_, true,
             d_values_ + seen.begin * value_row_, value_row_);
  }

  const Operands& o_;
  const AttentionArguments& a_;
  const TileKernels& kernels_;
  const int64_t size_, value_size_, row_, value_row_;
  int64_t score_row_ = 0;
  float *keys_ = nullptr, *values_ = nullptr, *key_rows_ = nullptr, *d_keys_ = nullptr, *d_values_ = nullptr;
  float *weights_ = nullptr, *gradients_ = nullptr, *slopes_ = nullptr, *query_rows_ = nullptr,
        *d_output_rows_ = nullptr;
  float *result_ = nullptr, *mask_ = nullptr, *factors_ = nullptr;
};

}  // namespace

void attention_backward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                        const View& d_output, const View& d_query, const View& d_key, const View& d_value) {
  const Operands operands{arguments, output, log_sum_exp, d_output, d_query, d_key, d_value};
  const int64_t heads = arguments.key.size(1);
  const Reach reach(arguments);
  const auto cost = [&](int64_t i) {
    const Sequence s(arguments, i);
    return static_cast<double>(s.queries + 1) * static_cast<double>(s.sight(reach) + 8);
  };
  share_by_cost(
      arguments.query_segments.count(), false, [&](int64_t) { return heads; }, cost,
      [&] {
        return [worker = Worker(operands)](int64_t sequence, int64_t head) mutable { worker.key_head(sequence, head); };
      });
}

}  // namespace mica::cpu::simd
