// Processors that cut by probability against the entropy of the distribution: typical_p, epsilon and eta.

#include <algorithm>
#include <cmath>

#include "mica/models/generation/logits_processor.h"
#include "mica/models/generation/scores.h"

namespace mica {
namespace {

// sum of -p log p, from logarithms.
double entropy_of(std::span<const float> logs) {
  double sum = 0;
  for (const float log : logs) {
    if (log != scores::kBarred) sum -= std::exp(static_cast<double>(log)) * static_cast<double>(log);
  }
  return sum;
}

std::span<float> logs_of(std::span<const float> scores, ProcessorScratch& scratch) {
  scratch.probabilities.resize(scores.size());
  scores::log_softmax(scores, scratch.probabilities);
  return scratch.probabilities;
}

class Typical : public LogitsProcessor {
 public:
  Typical(double mass, int64_t keep) : mass_(static_cast<float>(mass)), keep_(static_cast<size_t>(keep)) {}

  void process(const RowText&, std::span<float> scores, ProcessorScratch& scratch) const override {
    const std::span<const float> logs = logs_of(scores, scratch);
    const auto entropy = static_cast<float>(entropy_of(logs));
    // Distance of a token's information -log p from the entropy, negated: the nearest is the largest.
    std::vector<float>& nearness = scratch.values;
    nearness.resize(scores.size());
    for (size_t i = 0; i < scores.size(); ++i) nearness[i] = -std::abs(-logs[i] - entropy);
    std::vector<int64_t>& order = scratch.order;
    for (int64_t count = 256;; count *= 8) {
      scores::largest(nearness, count, order);
      size_t last = 0;
      double sum = 0;
      for (; last < order.size(); ++last) {
        sum += std::exp(static_cast<double>(logs[static_cast<size_t>(order[last])]));
        if (!(static_cast<float>(sum) < mass_)) break;
      }
      if (last == order.size() && order.size() < scores.size()) continue;
      last = std::min(last, order.size() - 1);
      const float bar = nearness[static_cast<size_t>(order[last])];
      for (size_t i = 0; i < std::min(keep_, order.size()); ++i) nearness[static_cast<size_t>(order[i])] = 0;
      for (size_t i = 0; i < scores.size(); ++i) {
        if (nearness[i] < bar) scores[i] = scores::kBarred;
      }
      return;
    }
  }

 private:
  float mass_;
  size_t keep_;
};

// Bars what is less likely than a bar, but for the `keep` largest.
void cut_below(float bar, int64_t keep, std::span<const float> logs, std::span<float> scores,
               std::vector<int64_t>& order) {
  scores::largest(scores, keep, order);
  const float kept = scores[static_cast<size_t>(order.back())];
  for (size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] < kept && std::exp(logs[i]) < bar) scores[i] = scores::kBarred;
  }
}

class Cutoff : public LogitsProcessor {
 public:
  Cutoff(double epsilon, bool eta, int64_t keep) : epsilon_(static_cast<float>(epsilon)), eta_(eta), keep_(keep) {}

  void process(const RowText&, std::span<float> scores, ProcessorScratch& scratch) const override {
    const std::span<const float> logs = logs_of(scores, scratch);
    float bar = epsilon_;
    if (eta_) bar = std::min(bar, std::sqrt(epsilon_) * std::exp(-static_cast<float>(entropy_of(logs))));
    cut_below(bar, keep_, logs, scores, scratch.order);
  }

 private:
  float epsilon_;
  bool eta_;
  int64_t keep_;
};

}  // namespace

std::shared_ptr<const LogitsProcessor> logits::typical_p(double p, int64_t keep) {
  return std::make_shared<Typical>(p, keep);
}
std::shared_ptr<const LogitsProcessor> logits::epsilon_cutoff(double epsilon, int64_t keep) {
  return std::make_shared<Cutoff>(epsilon, false, keep);
}
std::shared_ptr<const LogitsProcessor> logits::eta_cutoff(double epsilon, int64_t keep) {
  return std::make_shared<Cutoff>(epsilon, true, keep);
}

}  // namespace mica
