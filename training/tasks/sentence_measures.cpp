#include "mica/training/tasks/sentence_measures.h"

#include <algorithm>
#include <string>
#include <utility>

#include "mica/training/metrics/retrieval.h"
#include "mica/training/metrics/threshold.h"

namespace mica {
namespace {

// Text `column` of the given rows, as one tensor [rows, size].
Tensor column_of_rows(const std::vector<Tensor>& rows, const std::vector<std::pair<size_t, int64_t>>& places) {
  const Tensor result = Tensor::empty({static_cast<int64_t>(places.size()), rows.at(0).size(1)});
  for (size_t i = 0; i < places.size(); ++i) {
    const auto& [row, text] = places[i];
    result.select(0, static_cast<int64_t>(i)).copy_(rows.at(row).select(0, text).to(Device{}).to(DType::float32));
  }
  return result;
}

Tensor column(const std::vector<Tensor>& rows, int64_t text) {
  std::vector<std::pair<size_t, int64_t>> places;
  for (size_t row = 0; row < rows.size(); ++row) places.emplace_back(row, text);
  return column_of_rows(rows, places);
}

std::vector<double> labels_of(const EvalPrediction& prediction) {
  std::vector<double> labels;
  for (const Tensor& each : prediction.label_ids) labels.push_back(each.item<double>());
  return labels;
}

void add_triplets(const std::vector<Tensor>& rows, SimilarityFunction function, LogEntry* entry) {
  const Tensor anchors = column(rows, 0);
  const std::vector<float> positive = pairwise_similarity(anchors, column(rows, 1), function).to_vector<float>();
  std::vector<bool> right(rows.size(), true);
  for (int64_t text = 2; text < rows[0].size(0); ++text) {
    const std::vector<float> negative = pairwise_similarity(anchors, column(rows, text), function).to_vector<float>();
    for (size_t i = 0; i < right.size(); ++i) right[i] = right[i] && positive[i] > negative[i];
  }
  entry->emplace_back(
      std::string(name(function)) + "_accuracy",
      static_cast<double>(std::count(right.begin(), right.end(), true)) / static_cast<double>(right.size()));
}

}  // namespace

MetricsFunction embedding_similarity_metrics() {
  return [](const EvalPrediction& prediction) {
    LogEntry entry;
    if (prediction.predictions.size() < 2) return entry;  // no correlation of one pair
    const Tensor a = column(prediction.predictions, 0), b = column(prediction.predictions, 1);
    const std::vector<double> labels = labels_of(prediction);
    for (const SimilarityFunction function : {SimilarityFunction::cosine, SimilarityFunction::dot,
                                              SimilarityFunction::euclidean, SimilarityFunction::manhattan}) {
      const SimilarityCorrelation found = similarity_correlation(a, b, labels, function);
      const std::string ending(name(function));
      entry.emplace_back("pearson_" + ending, found.pearson);
      entry.emplace_back("spearman_" + ending, found.spearman);
    }
    return entry;
  };
}

MetricsFunction pair_classification_metrics(SimilarityFunction function) {
  return [function](const EvalPrediction& prediction) {
    const Tensor a = column(prediction.predictions, 0), b = column(prediction.predictions, 1);
    const std::vector<double> scores = pairwise_similarity(a, b, function).to_vector<double>();
    std::vector<int64_t> labels;
    for (const double each : labels_of(prediction)) labels.push_back(each > 0.5 ? 1 : 0);
    const ThresholdScores best = threshold_scores(scores, labels);
    const std::string start = std::string(name(function)) + "_";
    // Similarities of distances are negative; a threshold of them is told as a distance.
    const bool distance = function == SimilarityFunction::euclidean || function == SimilarityFunction::manhattan;
    const double sign = distance ? -1 : 1;
    return LogEntry{{start + "accuracy", best.accuracy},
                    {start + "accuracy_threshold", sign * best.accuracy_threshold},
                    {start + "f1", best.f1},
                    {start + "f1_threshold", sign * best.f1_threshold},
                    {start + "precision", best.precision},
                    {start + "recall", best.recall},
                    {start + "ap", best.average_precision},
                    {start + "mcc", best.matthews}};
  };
}

MetricsFunction ranking_metrics(SentenceIds ids, SimilarityFunction function) {
  return [ids = std::move(ids), function](const EvalPrediction& prediction) {
    const std::vector<Tensor>& rows = prediction.predictions;
    LogEntry entry;
    if (rows.at(0).size(0) > 2) add_triplets(rows, function, &entry);
    // Each text once, where it first occurs.
    std::vector<std::pair<size_t, int64_t>> queries, documents;
    std::vector<DocumentIds> relevant;
    for (size_t row = 0; row < rows.size(); ++row) {
      const auto query = static_cast<size_t>(ids.queries.at(row));
      if (query == queries.size()) {
        queries.emplace_back(row, 0);
        relevant.emplace_back();
      }
      relevant[query].push_back(ids.documents[row][0]);
      for (size_t i = 0; i < ids.documents[row].size(); ++i) {
        if (static_cast<size_t>(ids.documents[row][i]) != documents.size()) continue;
        documents.emplace_back(row, static_cast<int64_t>(i) + 1);
      }
    }
    const std::string start = std::string(name(function)) + "_";
    const auto scores = retrieval_scores(column_of_rows(rows, queries), column_of_rows(rows, documents), relevant,
                                         {1, 3, 5, 10, 100}, function);
    const auto add = [&](const char* what, double RetrievalScores::*member, std::initializer_list<int64_t> ks) {
      for (const RetrievalScores& each : scores) {
        if (std::find(ks.begin(), ks.end(), each.k) == ks.end()) continue;
        entry.emplace_back(start + what + "@" + std::to_string(each.k), each.*member);
      }
    };
    add("accuracy", &RetrievalScores::accuracy, {1, 3, 5, 10});
    add("precision", &RetrievalScores::precision, {1, 3, 5, 10});
    add("recall", &RetrievalScores::recall, {1, 3, 5, 10});
    add("ndcg", &RetrievalScores::ndcg, {10});
    add("mrr", &RetrievalScores::mrr, {10});
    add("map", &RetrievalScores::map, {100});
    return entry;
  };
}

}  // namespace mica
