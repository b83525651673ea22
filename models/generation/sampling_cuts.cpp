// Processors that keep the head of the distribution: temperature, top_k, top_p, min_p, top_h.

#include <algorithm>
#include <cmath>

#include "mica/models/generation/logits_processor.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

std::span<float> softmax_of(std::span<const float> scores, ProcessorScratch& scratch) {
  scratch.probabilities.resize(scores.size());
  scores::softmax(scores, scratch.probabilities);
  return scratch.probabilities;
}

// Bars all but those whose indices are given; `values` is scratch.
void keep_only(std::span<const int64_t> kept, std::span<float> scores, std::vector<float>& values) {
  values.clear();
  for (const int64_t i : kept) values.push_back(scores[static_cast<size_t>(i)]);
  std::fill(scores.begin(), scores.end(), scores::kBarred);
  for (size_t i = 0; i < kept.size(); ++i) scores[static_cast<size_t>(kept[i])] = values[i];
}

class Temperature : public LogitsProcessor {
 public:
  explicit Temperature(double value) : value_(static_cast<float>(value)) {}
  void process(const RowText&, std::span<float> scores, ProcessorScratch&) const override {
    for (float& score : scores) score /= value_;
  }

 private:
  float value_;
};

class TopK : public LogitsProcessor {
 public:
  TopK(int64_t k, int64_t keep) : k_(std::max(k, keep)) {}
  void process(const RowText&, std::span<float> scores, ProcessorScratch& scratch) const override {
    if (k_ >= static_cast<int64_t>(scores.size())) return;
    scores::largest(scores, k_, scratch.order);
    const float bar = scores[static_cast<size_t>(scratch.order.back())];
    for (float& score : scores) {
      if (score < bar) score = scores::kBarred;
    }
  }

 private:
  int64_t k_;
};

// The reference walks up from the least likely token and bars while the sum is at most 1 - p; of equal ones, the first
// goes first. Walking down from the likeliest, a token stays while the sum before it is below p. That walk needs only
// the largest, which are found a few hundred at a time.
class TopP : public LogitsProcessor {
 public:
  TopP(double p, int64_t keep) : p_(static_cast<float>(p)), keep_(static_cast<size_t>(keep)) {}
  void process(const RowText&, std::span<float> scores, ProcessorScratch& scratch) const override {
    const std::span<const float> p = softmax_of(scores, scratch);
    std::vector<int64_t>& order = scratch.order;
    for (int64_t count = 256;; count *= 8) {
      scores::largest(scores, count, order, true);
      size_t kept = 0;
      double sum = 0;
      while (kept < order.size() && (kept < keep_ || static_cast<float>(sum) < p_)) {
        sum += static_cast<double>(p[static_cast<size_t>(order[kept++])]);
      }
      if (kept < order.size()) {
        keep_only({order.data(), kept}, scores, scratch.values);
        return;
      }
      if (order.size() == scores.size()) return;
    }
  }

 private:
  float p_;
  size_t keep_;
};

class MinP : public LogitsProcessor {
 public:
  MinP(double p, int64_t keep) : p_(static_cast<float>(p)), keep_(keep) {}
  void process(const RowText&, std::span<float> scores, ProcessorScratch& scratch) const override {
    const std::span<float> p = softmax_of(scores, scratch);
    const float bar = p_ * *std::max_element(p.begin(), p.end());
    scores::largest(p, keep_, scratch.order);
    for (const int64_t i : scratch.order) p[static_cast<size_t>(i)] = 1;
    for (size_t i = 0; i < scores.size(); ++i) {
      if (p[i] < bar) scores[i] = scores::kBarred;
    }
  }

 private:
  float p_;
  int64_t keep_;
};

class TopH : public LogitsProcessor {
 public:
  explicit TopH(double h) : h_(h) {}
  void process(const RowText&, std::span<float> scores, ProcessorScratch& scratch) const override {
    scores::largest(scores, 100, scratch.order);
    std::vector<float>& p = scratch.probabilities;
    p.clear();
    for (const int64_t i : scratch.order) p.push_back(scores[static_cast<size_t>(i)]);
    scores::softmax(p, p);
    const auto term = [](float x) { return x > 0 ? -static_cast<double>(x) * std::log(static_cast<double>(x)) : 0.0; };
    double entropy = 0;
    for (const float x : p) entropy += term(x);
    size_t kept = 0;
    double sum = 0;
    while (kept < p.size() && p[kept] > 0) {
      sum += term(p[kept]);
      if (kept > 0 && static_cast<float>(sum) > static_cast<float>(entropy * h_)) break;
      ++kept;
    }
    keep_only({scratch.order.data(), std::max<size_t>(kept, 1)}, scores, scratch.values);
  }

 private:
  double h_;
};

}  // namespace

std::shared_ptr<const LogitsProcessor> logits::temperature(double value) {
  return std::make_shared<Temperature>(value);
}
std::shared_ptr<const LogitsProcessor> logits::top_k(int64_t k, int64_t keep) {
  return std::make_shared<TopK>(k, keep);
}
std::shared_ptr<const LogitsProcessor> logits::top_p(double p, int64_t keep) {
  return std::make_shared<TopP>(p, keep);
}
std::shared_ptr<const LogitsProcessor> logits::min_p(double p, int64_t keep) {
  return std::make_shared<MinP>(p, keep);
}
std::shared_ptr<const LogitsProcessor> logits::top_h(double h) {
  return std::make_shared<TopH>(h);
}

}  // namespace mica
