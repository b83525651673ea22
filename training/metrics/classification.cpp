#include "mica/training/metrics/classification.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "mica/base/error.h"

namespace mica {
namespace {

struct Counts {
  int64_t both = 0, predicted = 0, actual = 0;
};

void check(const char* metric, std::span<const int64_t> predictions, std::span<const int64_t> references) {
  if (predictions.size() == references.size() && !references.empty()) return;
  throw Error(std::to_string(predictions.size()) + " predictions, " + std::to_string(references.size()) + " references",
              metric, "give one prediction for each reference, at least one");
}

std::map<int64_t, Counts> count(const char* metric, std::span<const int64_t> predictions,
                                std::span<const int64_t> references) {
  check(metric, predictions, references);
  std::map<int64_t, Counts> counts;
  for (size_t i = 0; i < references.size(); ++i) {
    ++counts[predictions[i]].predicted;
    ++counts[references[i]].actual;
    if (predictions[i] == references[i]) ++counts[references[i]].both;
  }
  return counts;
}

double ratio(double a, double b) {
  return b == 0 ? 0 : a / b;
}

}  // namespace

PrecisionRecallF1 score_of_counts(int64_t true_positives, int64_t predicted, int64_t actual) {
  const auto hits = static_cast<double>(true_positives);
  return {.precision = ratio(hits, static_cast<double>(predicted)),
          .recall = ratio(hits, static_cast<double>(actual)),
          .f1 = ratio(2 * hits, static_cast<double>(predicted + actual)),
          .support = actual};
}

PrecisionRecallF1 mean_score(std::span<const PrecisionRecallF1> scores, bool weighted) {
  PrecisionRecallF1 sum;
  double weights = 0;
  for (const PrecisionRecallF1& each : scores) {
    const double weight = weighted ? static_cast<double>(each.support) : 1;
    sum.precision += weight * each.precision;
    sum.recall += weight * each.recall;
    sum.f1 += weight * each.f1;
    sum.support += each.support;
    weights += weight;
  }
  return {ratio(sum.precision, weights), ratio(sum.recall, weights), ratio(sum.f1, weights), sum.support};
}

double accuracy(std::span<const int64_t> predictions, std::span<const int64_t> references) {
  check("accuracy", predictions, references);
  int64_t hits = 0;
  for (size_t i = 0; i < references.size(); ++i) hits += predictions[i] == references[i] ? 1 : 0;
  return static_cast<double>(hits) / static_cast<double>(references.size());
}

std::vector<ClassScore> class_scores(std::span<const int64_t> predictions, std::span<const int64_t> references) {
  std::vector<ClassScore> scores;
  for (const auto& [label, counts] : count("class_scores", predictions, references)) {
    scores.push_back({label, score_of_counts(counts.both, counts.predicted, counts.actual)});
  }
  return scores;
}

PrecisionRecallF1 precision_recall_f1(std::span<const int64_t> predictions, std::span<const int64_t> references,
                                      Average average, int64_t positive) {
  const std::map<int64_t, Counts> counts = count("precision_recall_f1", predictions, references);
  if (average == Average::binary) {
    if (counts.size() > 2 || (counts.size() == 2 && !counts.contains(positive))) {
      throw Error(std::to_string(counts.size()) + " classes, of which " + std::to_string(positive) + " is to count",
                  "precision_recall_f1", "average more than two classes by micro, macro or weighted");
    }
    const auto found = counts.find(positive);
    if (found == counts.end()) return {};
    return score_of_counts(found->second.both, found->second.predicted, found->second.actual);
  }
  Counts all;
  std::vector<PrecisionRecallF1> scores;
  for (const auto& [label, each] : counts) {
    all = {all.both + each.both, all.predicted + each.predicted, all.actual + each.actual};
    scores.push_back(score_of_counts(each.both, each.predicted, each.actual));
  }
  if (average == Average::micro) return score_of_counts(all.both, all.predicted, all.actual);
  return mean_score(scores, average == Average::weighted);
}

double matthews_correlation(std::span<const int64_t> predictions, std::span<const int64_t> references) {
  const auto n = static_cast<double>(references.size());
  double both = 0, products = 0, predicted_squares = 0, actual_squares = 0;
  for (const auto& [label, each] : count("matthews_correlation", predictions, references)) {
    const auto predicted = static_cast<double>(each.predicted), actual = static_cast<double>(each.actual);
    both += static_cast<double>(each.both);
    products += predicted * actual;
    predicted_squares += predicted * predicted;
    actual_squares += actual * actual;
  }
  const double spread = (n * n - predicted_squares) * (n * n - actual_squares);
  return spread == 0 ? 0 : (both * n - products) / std::sqrt(spread);
}

}  // namespace mica
