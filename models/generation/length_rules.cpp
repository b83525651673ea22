// Processors that depend on how long the text is.

#include <algorithm>
#include <cmath>

#include "mica/base/error.h"
#include "mica/models/generation/logits_processor.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

// Calls visit(score) for the scores of those tokens that the vocabulary has.
template <typename Visit>
void for_tokens(const std::vector<int64_t>& tokens, std::span<float> scores, const Visit& visit) {
  for (const int64_t token : tokens) {
    if (token >= 0 && token < static_cast<int64_t>(scores.size())) visit(scores[static_cast<size_t>(token)]);
  }
}

class MinLength : public LogitsProcessor {
 public:
  MinLength(int64_t length, bool new_only, std::vector<int64_t> ends)
      : length_(length), new_only_(new_only), ends_(std::move(ends)) {}
  void process(const RowText& row, std::span<float> scores, ProcessorScratch&) const override {
    const int64_t length = static_cast<int64_t>(row.ids.size()) - (new_only_ ? row.prompt_length : 0);
    if (length < length_) for_tokens(ends_, scores, [](float& score) { score = scores::kBarred; });
  }

 private:
  int64_t length_;
  bool new_only_;
  std::vector<int64_t> ends_;
};

// One of `tokens` and nothing else, at a certain length.
class Forced : public LogitsProcessor {
 public:
  Forced(std::vector<int64_t> tokens, bool at_end, int64_t vocab_size, const char* name)
      : tokens_(std::move(tokens)), at_end_(at_end) {
    for (const int64_t token : tokens_) {
      if (token >= vocab_size) {
        throw Error(std::string(name) + " is " + std::to_string(token), "generation settings",
                    "the model's vocabulary has " + std::to_string(vocab_size) + " tokens");
      }
    }
  }
  void process(const RowText& row, std::span<float> scores, ProcessorScratch&) const override {
    if (static_cast<int64_t>(row.ids.size()) != (at_end_ ? row.max_length - 1 : 1)) return;
    std::fill(scores.begin(), scores.end(), scores::kBarred);
    for_tokens(tokens_, scores, [](float& score) { score = 0; });
  }

 private:
  std::vector<int64_t> tokens_;
  bool at_end_;
};

class LengthDecayPenalty : public LogitsProcessor {
 public:
  LengthDecayPenalty(int64_t start, double factor, std::vector<int64_t> ends)
      : start_(start), factor_(factor), ends_(std::move(ends)) {}
  void process(const RowText& row, std::span<float> scores, ProcessorScratch&) const override {
    const int64_t beyond = static_cast<int64_t>(row.ids.size()) - (start_ + row.prompt_length);
    if (beyond <= 0) return;
    const auto growth = static_cast<float>(std::pow(factor_, static_cast<double>(beyond)) - 1);
    for_tokens(ends_, scores, [growth](float& score) {
      if (std::isfinite(score)) score += std::abs(score) * growth;
    });
  }

 private:
  int64_t start_;
  double factor_;
  std::vector<int64_t> ends_;
};

}  // namespace

std::shared_ptr<const LogitsProcessor> logits::min_length(int64_t length, std::vector<int64_t> end_tokens) {
  return std::make_shared<MinLength>(length, false, std::move(end_tokens));
}
std::shared_ptr<const LogitsProcessor> logits::min_new_tokens(int64_t count, std::vector<int64_t> end_tokens) {
  return std::make_shared<MinLength>(count, true, std::move(end_tokens));
}
std::shared_ptr<const LogitsProcessor> logits::forced_bos_token(int64_t token, int64_t vocab_size) {
  return std::make_shared<Forced>(std::vector<int64_t>{token}, false, vocab_size, "forced_bos_token_id");
}
std::shared_ptr<const LogitsProcessor> logits::forced_eos_token(std::vector<int64_t> tokens, int64_t vocab_size) {
  return std::make_shared<Forced>(std::move(tokens), true, vocab_size, "forced_eos_token_id");
}
std::shared_ptr<const LogitsProcessor> logits::exponential_decay_length_penalty(int64_t start, double factor,
                                                                                std::vector<int64_t> end_tokens) {
  return std::make_shared<LengthDecayPenalty>(start, factor, std::move(end_tokens));
}

}  // namespace mica
