// Processors that bias or bar tokens by name.

#include <algorithm>

#include "mica/base/error.h"
#include "mica/models/generation/generation_config.h"
#include "mica/models/generation/logits_processor.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

void bar(std::span<const int64_t> tokens, std::span<float> scores) {
  for (const int64_t token : tokens) {
    if (token >= 0 && token < static_cast<int64_t>(scores.size())) scores[static_cast<size_t>(token)] = scores::kBarred;
  }
}

class Bias : public LogitsProcessor {
 public:
  Bias(std::vector<SequenceBias> biases, int64_t vocab_size, const char* name) {
    for (SequenceBias& entry : biases) {
      for (const int64_t id : entry.ids) {
        if (id < 0 || id >= vocab_size) {
          throw Error(std::string(name) + " holds the id " + std::to_string(id), "generation settings",
                      "the model's vocabulary has " + std::to_string(vocab_size) + " tokens");
        }
      }
      // A sequence that is given twice has its last bias.
      const auto same = [&](const SequenceBias& other) { return other.ids == entry.ids; };
      if (const auto it = std::find_if(biases_.begin(), biases_.end(), same); it != biases_.end()) {
        it->bias = entry.bias;
      } else {
        biases_.push_back(std::move(entry));
      }
    }
  }

  void process(const RowText& row, std::span<float> scores, ProcessorScratch& scratch) const override {
    // Biases of one token are added up before they meet its score.
    std::vector<float>& sums = scratch.values;
    sums.assign(scores.size(), 0.0F);
    for (const SequenceBias& entry : biases_) {
      const std::span<const int64_t> before(entry.ids.data(), entry.ids.size() - 1);
      if (before.size() > row.ids.size()) continue;
      const std::span<const int64_t> end = row.ids.last(before.size());
      if (!std::equal(before.begin(), before.end(), end.begin())) continue;
      sums[static_cast<size_t>(entry.ids.back())] += static_cast<float>(entry.bias);
    }
    for (size_t i = 0; i < scores.size(); ++i) scores[i] += sums[i];
  }

 private:
  std::vector<SequenceBias> biases_;
};

class Suppress : public LogitsProcessor {
 public:
  explicit Suppress(std::vector<int64_t> tokens) : tokens_(std::move(tokens)) {}
  void process(const RowText&, std::span<float> scores, ProcessorScratch&) const override { bar(tokens_, scores); }

 private:
  std::vector<int64_t> tokens_;
};

class BeginSuppress : public LogitsProcessor {
 public:
  BeginSuppress(std::vector<int64_t> tokens, bool forced_bos) : tokens_(std::move(tokens)), forced_bos_(forced_bos) {}
  void process(const RowText& row, std::span<float> scores, ProcessorScratch&) const override {
    const int64_t begin = row.prompt_length + (forced_bos_ && row.prompt_length <= 1 ? 1 : 0);
    if (static_cast<int64_t>(row.ids.size()) == begin) bar(tokens_, scores);
  }

 private:
  std::vector<int64_t> tokens_;
  bool forced_bos_;
};

}  // namespace

std::shared_ptr<const LogitsProcessor> logits::sequence_bias(std::vector<SequenceBias> biases, int64_t vocab_size) {
  return std::make_shared<Bias>(std::move(biases), vocab_size, "sequence_bias");
}

std::shared_ptr<const LogitsProcessor> logits::no_bad_words(const std::vector<std::vector<int64_t>>& words,
                                                            std::span<const int64_t> end_tokens, int64_t vocab_size) {
  std::vector<SequenceBias> biases;
  for (const std::vector<int64_t>& word : words) {
    const bool is_end =
        word.size() == 1 && std::find(end_tokens.begin(), end_tokens.end(), word[0]) != end_tokens.end();
    if (!is_end) biases.push_back({word, scores::kBarred});
  }
  return std::make_shared<Bias>(std::move(biases), vocab_size, "bad_words_ids");
}

std::shared_ptr<const LogitsProcessor> logits::suppress_tokens(std::vector<int64_t> tokens) {
  return std::make_shared<Suppress>(std::move(tokens));
}

std::shared_ptr<const LogitsProcessor> logits::begin_suppress_tokens(std::vector<int64_t> tokens, bool forced_bos) {
  return std::make_shared<BeginSuppress>(std::move(tokens), forced_bos);
}

}  // namespace mica
