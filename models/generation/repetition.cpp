// Processors that look for what the text, or the encoder's text, has said already.

#include <algorithm>

#include "mica/models/generation/logits_processor.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

// Calls visit(token) once for each token of the vocabulary that is among `ids`.
template <typename Visit>
void for_each_distinct(std::span<const int64_t> ids, size_t vocab, std::vector<uint64_t>& bits, const Visit& visit) {
  bits.resize((vocab + 63) / 64);  // all zero between calls
  const auto valid = [vocab](int64_t id) { return id >= 0 && id < static_cast<int64_t>(vocab); };
  for (const int64_t id : ids) {
    if (!valid(id)) continue;
    const auto at = static_cast<size_t>(id);
    const uint64_t bit = uint64_t{1} << (at % 64);
    if ((bits[at / 64] & bit) == 0) visit(at);
    bits[at / 64] |= bit;
  }
  for (const int64_t id : ids) {
    if (valid(id)) bits[static_cast<size_t>(id) / 64] = 0;
  }
}

class Penalty : public LogitsProcessor {
 public:
  Penalty(double penalty, bool encoder) : penalty_(static_cast<float>(penalty)), encoder_(encoder) {}

  void process(const RowText& row, std::span<float> scores, ProcessorScratch& scratch) const override {
    for_each_distinct(encoder_ ? row.encoder_ids : row.ids, scores.size(), scratch.bits, [&](size_t token) {
      float& score = scores[token];
      score = score < 0 ? score * penalty_ : score / penalty_;
    });
  }

 private:
  float penalty_;
  bool encoder_;
};

class NoRepeat : public LogitsProcessor {
 public:
  NoRepeat(int64_t size, bool encoder) : before_(static_cast<size_t>(size) - 1), encoder_(encoder) {}

  void process(const RowText& row, std::span<float> scores, ProcessorScratch&) const override {
    const std::span<const int64_t> seen = encoder_ ? row.encoder_ids : row.ids;
    if (row.ids.size() < before_) return;
    const std::span<const int64_t> end = row.ids.last(before_);
    for (size_t i = 0; i + before_ < seen.size(); ++i) {
      const int64_t next = seen[i + before_];
      if (next < 0 || next >= static_cast<int64_t>(scores.size())) continue;
      if (std::equal(end.begin(), end.end(), seen.begin() + static_cast<ptrdiff_t>(i))) {
        scores[static_cast<size_t>(next)] = scores::kBarred;
      }
    }
  }

 private:
  size_t before_;  // tokens of an n-gram before its last
  bool encoder_;
};

}  // namespace

std::shared_ptr<const LogitsProcessor> logits::repetition_penalty(double penalty) {
  return std::make_shared<Penalty>(penalty, false);
}
std::shared_ptr<const LogitsProcessor> logits::encoder_repetition_penalty(double penalty) {
  return std::make_shared<Penalty>(1 / penalty, true);
}
std::shared_ptr<const LogitsProcessor> logits::no_repeat_ngram(int64_t size) {
  return std::make_shared<NoRepeat>(size, false);
}
std::shared_ptr<const LogitsProcessor> logits::encoder_no_repeat_ngram(int64_t size) {
  return std::make_shared<NoRepeat>(size, true);
}

}  // namespace mica
