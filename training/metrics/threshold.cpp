#include "mica/training/metrics/threshold.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "mica/base/error.h"
#include "mica/training/metrics/classification.h"

namespace mica {
namespace {

void check(std::span<const double> scores, std::span<const int64_t> labels) {
  constexpr const char* kWhere = "threshold_scores";
  if (scores.size() != labels.size() || scores.empty()) {
    throw Error(std::to_string(scores.size()) + " scores, " + std::to_string(labels.size()) + " labels", kWhere,
                "give one of each for every pair, at least one");
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i])) throw Error("score " + std::to_string(i) + " is no number", kWhere, "give numbers");
    if (labels[i] != 0 && labels[i] != 1) {
      throw Error("label " + std::to_string(labels[i]) + " of pair " + std::to_string(i), kWhere, "use 0 and 1");
    }
  }
}

}  // namespace

ThresholdScores threshold_scores(std::span<const double> scores, std::span<const int64_t> labels) {
  check(scores, labels);
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  const auto all = static_cast<double>(labels.size());
  const auto alike = static_cast<double>(std::count(labels.begin(), labels.end(), 1));
  ThresholdScores best;
  // Nothing is alike: the threshold is above all scores.
  best.accuracy = (all - alike) / all;
  best.accuracy_threshold = std::nextafter(scores[order[0]], HUGE_VAL);
  double right = 0, taken = 0, recall_before = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    taken += 1;
    right += labels[order[i]] == 1 ? 1 : 0;
    const bool last = i + 1 == order.size();
    const double score = scores[order[i]];
    if (!last && scores[order[i + 1]] == score) continue;
    const double below = last ? score : scores[order[i + 1]];
    double threshold = (score + below) / 2;
    if (threshold == below) threshold = score;
    const double accuracy = (right + (all - alike) - (taken - right)) / all;
    if (accuracy > best.accuracy) {
      best.accuracy = accuracy;
      best.accuracy_threshold = threshold;
    }
    const double precision = right / taken, recall = alike > 0 ? right / alike : 0;
    best.average_precision += (recall - recall_before) * precision;
    recall_before = recall;
    const double f1 = right > 0 ? 2 * precision * recall / (precision + recall) : 0;
    if (f1 > best.f1) {
      best.f1 = f1;
      best.precision = precision;
      best.recall = recall;
      best.f1_threshold = threshold;
    }
  }
  std::vector<int64_t> called;
  for (const double score : scores) called.push_back(score >= best.f1_threshold ? 1 : 0);
  best.matthews = matthews_correlation(called, labels);
  return best;
}

}  // namespace mica
