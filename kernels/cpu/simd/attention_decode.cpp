// Attention of a few queries to many keys: a step of decoding.
//
// Must read every key and value that is seen once: 2 * keys * size elements a key head, from memory. Fast because
// nothing is packed, because all the queries of a key head's group meet a key while it is in a register, because keys
// in float16 or bfloat16 are widened on the way, and because memory is read front to back: the heads take turns at a
// block of tokens that lies in L2, and meanwhile fetch the next one there, line after line. Long sequences are cut at
// fixed positions into pieces that threads share; each leaves its largest score, its sum and its weighted values, which
// are joined in order.

#include "mica/kernels/cpu/simd/attention_decode.h"

#include <limits>

#include "mica/base/recycled.h"
#include "mica/kernels/cpu/simd/attention_stream.h"
#include "mica/kernels/cpu/simd/scratch.h"
#include "mica/kernels/cpu/simd/tile.h"

namespace mica::cpu::simd {
namespace {

constexpr int64_t kFewQueries = 4;
constexpr int64_t kPiece = 512;               // keys
constexpr int64_t kScoreRow = kPiece + 16;    // rows at a distance that is no multiple of a page
constexpr int64_t kBlockBytes = 128 << 10;    // of keys, and of values, that the heads take turns at
constexpr int64_t kSmall = int64_t{1} << 16;  // elements of keys and values that are not worth a second thread

// The pieces of one sequence, and where they leave what they find.
struct Plan {
  Sequence s;
  int64_t sequence;
  KeyRange seen;
  int64_t pieces;       // of the keys
  int64_t first_piece;  // of all sequences' pieces
  float* partial;       // a row for each (piece, head, query): values, largest, sum
};

class Decoder {
 public:
  Decoder(const AttentionArguments& arguments, const View& output, const View& log_sum_exp)
      : a_(arguments),
        output_(output),
        log_sum_exp_(log_sum_exp),
        size_(a_.query.size(2)),
        value_size_(a_.value.size(2)),
        key_heads_(a_.key.size(1)),
        group_(a_.query.size(1) / key_heads_),
        lanes_(tile_kernels().lanes),
        query_row_(ceil_div(size_, lanes_) * lanes_),
        value_row_(ceil_div(value_size_, lanes_) * lanes_),
        partial_row_(value_row_ + 16) {}

  void run() {
    plan();
    if (plans_.empty()) return;
    const bool small = elements_ * std::min<int64_t>(8, group_) < kSmall;
    // A unit of work is a piece, or some heads of it where there are few.
    const int64_t wanted = small ? 1 : ceil_div(4 * num_threads(), pieces_);
    const int64_t parts = num_threads() == 1 ? 1 : std::min(key_heads_, wanted);
    parallel_for(pieces_ * parts, small ? pieces_ * parts : 1, [&](int64_t begin, int64_t end) {
      auto at = plan_of(begin / parts);
      for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t piece = unit / parts, part = unit % parts;
        while (piece - at->first_piece >= at->pieces) ++at;
        attend(*at, piece - at->first_piece, {key_heads_ * part / parts, key_heads_ * (part + 1) / parts});
      }
    });
    const int64_t heads = a_.query.size(1), rows = static_cast<int64_t>(plans_.size()) * heads;
    const int64_t row_cost = pieces_ * heads * value_size_ / rows + 1;
    parallel_for(rows, small ? rows : std::max<int64_t>(1, kSmall / 4 / row_cost), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) join(plans_[static_cast<size_t>(row / heads)], row % heads);
    });
  }

 private:
  void plan() {
    const Reach reach(a_);
    int64_t rows = 0;
    for (int64_t i = 0; i < a_.query_segments.count(); ++i) {
      const Sequence s(a_, i);
      if (!decodes(a_, s)) continue;
      const KeyRange seen = s.visible(reach);
      // Cut at multiples of kPiece; a sequence that sees nothing has one empty piece.
      const int64_t pieces = std::max<int64_t>(1, ceil_div(seen.end, kPiece) - seen.begin / kPiece);
      plans_.push_back({s, i, seen, pieces, pieces_, nullptr});
      pieces_ += pieces;
      rows += pieces * key_heads_ * group_ * s.queries;
      elements_ += seen.size() * key_heads_ * (size_ + value_size_);
    }
    float* partial = scratch(Scratch::partials, rows * partial_row_);
    for (Plan& p : plans_) {
      p.partial = partial;
      partial += p.pieces * key_heads_ * group_ * p.s.queries * partial_row_;
    }
  }

  RecycledVector<Plan>::const_iterator plan_of(int64_t piece) const {
    return std::upper_bound(plans_.begin(), plans_.end(), piece,
                            [](int64_t at, const Plan& p) { return at < p.first_piece; }) -
           1;
  }

  float* partial_of(const Plan& p, int64_t piece, int64_t key_head) const {
    return p.partial + (piece * key_heads_ + key_head) * group_ * p.s.queries * partial_row_;
  }

  KeyRange piece_of(const Plan& p, int64_t piece) const {
    const int64_t from = p.seen.begin / kPiece * kPiece + piece * kPiece;
    return {std::max(p.seen.begin, from), std::min(p.seen.end, from + kPiece)};
  }

  // The queries of some key heads' groups against one piece of the keys.
  void attend(const Plan& p, int64_t piece, const KeyRange& heads) const {
    const KeyRange range = piece_of(p, piece);
    const int64_t group_rows = group_ * p.s.queries, rows = heads.size() * group_rows;
    float* scores = scratch(Scratch::scores, rows * (kScoreRow + query_row_ + 3) + kPiece);
    float* query = scores + rows * kScoreRow;
    float* largest = query + rows * query_row_;
    float* sum = largest + rows;
    float* correction = sum + rows;
    float* mask = correction + rows;
    const int64_t first_head = heads.begin * group_;
    for (int64_t r = 0; r < rows; ++r) {
      copy_rows(element(a_.query, p.s.query_begin + r % p.s.queries, first_head + r / p.s.queries), 0, 1, size_,
                query + r * query_row_, query_row_);
    }
    const KeyRange after = piece + 1 < p.pieces ? piece_of(p, piece + 1) : KeyRange{0, 0};
    stream(a_.key, p, range, heads, a_.value, range, [&](const Stream& keys, int64_t head, int64_t first) {
      score_stream(keys, group_rows, query + head * group_rows * query_row_, query_row_,
                   scores + head * group_rows * kScoreRow + first, kScoreRow);
    });

    if (a_.key_mask) make_mask(a_, p.s, range, mask);
    std::fill_n(largest, rows, -std::numeric_limits<float>::infinity());
    std::fill_n(sum, rows, 0.0F);
    for (int64_t r = 0; r < rows && range.size() > 0; r += p.s.queries) {
      ScoreRows task =
          score_task(a_, p.s, p.sequence, first_head + r / p.s.queries, 0, p.s.queries, mask - range.begin);
      task.stride = kScoreRow;
      task.largest = largest + r;
      task.sum = sum + r;
      task.correction = correction + r;
      float* s = scores + r * kScoreRow;
      if (a_.softcap > 0) cap_rows(task, a_.scale, a_.softcap, range.size(), s, nullptr);
      score_rows(task, s, range.begin, range.size(), true);
    }

    float* partial = partial_of(p, piece, heads.begin);
    if (range.size() == 0) std::fill_n(partial, rows * partial_row_, 0.0F);
    stream(a_.value, p, range, heads, a_.key, after, [&](const Stream& values, int64_t head, int64_t first) {
      weigh_stream(values, group_rows, scores + head * group_rows * kScoreRow + first, kScoreRow, first > 0,
                   partial + head * group_rows * partial_row_, partial_row_);
    });
    for (int64_t r = 0; r < rows; ++r) {
      partial[r * partial_row_ + value_row_] = largest[r];
      partial[r * partial_row_ + value_row_ + 1] = sum[r];
    }
  }

  // Calls body(block, head, first) for each block of the keys of `range` and each of the heads, counted from 0; `first`
  // counts keys from the start of the range. Meanwhile the next block is fetched, and at last the first one of `after`.
  template <typename Body>
  void stream(const View& x, const Plan& p, const KeyRange& range, const KeyRange& heads, const View& next,
              const KeyRange& after, const Body& body) const {
    const int64_t count = block_of(x), next_count = std::min(block_of(next), after.size());
    for (int64_t k = range.begin; k < range.end; k += count) {
      const KeyRange here = {k, std::min(range.end, k + count)};
      const KeyRange ahead = {here.end, std::min(range.end, here.end + count)};
      for (int64_t head = heads.begin; head < heads.end; ++head) {
        Stream s{.data = element_of_any(x, p.s.key_begin + k, head),
                 .dtype = x.dtype,
                 .stride = x.stride(0),
                 .count = here.size(),
                 .size = x.size(2)};
        if (ahead.size() > 0) {
          plan_fetch(x, p, ahead, heads, head, s);
        } else if (next_count > 0) {
          plan_fetch(next, p, {after.begin, after.begin + next_count}, heads, head, s);
        } else {
          s.fetch = s.data;
          s.fetch_row = 0;
        }
        body(s, head - heads.begin, k - range.begin);
      }
    }
  }

  // Keys of a block: a multiple of what the kernels take at a time.
  static int64_t block_of(const View& x) {
    const int64_t row = x.size(1) * x.size(2) * item_size(x.dtype);
    return std::clamp<int64_t>(kBlockBytes / std::max<int64_t>(1, row) / 8 * 8, 8, kPiece);
  }

  // The head's share of fetching the keys `ahead` of x: a stretch of them all where they lie side by side, else its
  // own.
  static void plan_fetch(const View& x, const Plan& p, const KeyRange& ahead, const KeyRange& heads, int64_t head,
                         Stream& s) {
    const int64_t size = x.size(2), bytes = item_size(x.dtype);
    const bool dense = heads.size() == x.size(1) && x.stride(1) == size && x.stride(0) == x.size(1) * size;
    if (dense) {
      s.fetch = static_cast<const char*>(element_of_any(x, p.s.key_begin + ahead.begin, 0)) +
                head * ahead.size() * size * bytes;
      s.fetch_row = size * bytes;
    } else {
      s.fetch = element_of_any(x, p.s.key_begin + ahead.begin, head);
      s.fetch_row = x.stride(0) * bytes;
    }
  }

  // The output of one head's queries from what its pieces found.
  void join(const Plan& p, int64_t head) const {
    const int64_t key_head = head / group_, queries = p.s.queries;
    const ScoreRows task = score_task(a_, p.s, p.sequence, head, 0, queries, nullptr);
    for (int64_t q = 0; q < queries; ++q) {
      const int64_t row = (head % group_ * queries + q) * partial_row_;
      float largest = -std::numeric_limits<float>::infinity(), sum = 0;
      for (int64_t i = 0; i < p.pieces; ++i) largest = std::max(largest, partial_of(p, i, key_head)[row + value_row_]);
      float* result = partial_of(p, 0, key_head) + row;
      for (int64_t i = 0; i < p.pieces; ++i) {
        const float* found = partial_of(p, i, key_head) + row;
        const float factor = found[value_row_ + 1] == 0 ? 0 : std::exp(task.exponent * (found[value_row_] - largest));
        sum += factor * found[value_row_ + 1];
        for (int64_t k = 0; k < value_size_; ++k) result[k] = factor * found[k] + (i > 0 ? result[k] : 0.0F);
      }
      const int64_t out_row = p.s.query_begin + q;
      const RowEnd end = end_row(a_, head, double{task.exponent} * double{largest}, sum);
      if (end.blind) mean_of_values(p, key_head, result);
      scale_rows(result, value_row_, 1, value_size_, &end.factor, element(output_, out_row, head), 0);
      if (log_sum_exp_)
        log_sum_exp_.as<float>()[head * log_sum_exp_.stride(0) + out_row * log_sum_exp_.stride(1)] = end.total;
    }
  }

  // What a query that sees no key gets: all keys weigh the same, or none beside a sink.
  void mean_of_values(const Plan& p, int64_t key_head, float* to) const {
    std::fill_n(to, value_size_, 0.0F);
    if (a_.sinks) return;
    float* space = scratch(Scratch::rows, value_row_);
    for (int64_t k = 0; k < p.s.keys; ++k) {
      const float* value = float_row(a_.value, p.s.key_begin + k, key_head, space);
      for (int64_t i = 0; i < value_size_; ++i) to[i] += value[i] / static_cast<float>(p.s.keys);
    }
  }

  const AttentionArguments& a_;
  const View &output_, &log_sum_exp_;
  const int64_t size_, value_size_, key_heads_, group_, lanes_, query_row_, value_row_, partial_row_;
  RecycledVector<Plan> plans_;
  int64_t pieces_ = 0, elements_ = 0;
};

}  // namespace

bool decodes(const AttentionArguments& a, const Sequence& s) {
  return s.queries > 0 && s.queries <= kFewQueries && s.keys >= 16 * s.queries && !(a.dropout > 0);
}

void attention_decode(const AttentionArguments& arguments, const View& output, const View& log_sum_exp) {
  Decoder(arguments, output, log_sum_exp).run();
}

}  // namespace mica::cpu::simd
