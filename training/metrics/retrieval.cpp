#include "mica/training/metrics/retrieval.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_set>

#include "mica/base/error.h"
#include "mica/training/metrics/correlation.h"

namespace mica {
namespace {

// Adds one query's share to the scores at k.
void add_query(const DocumentIds& ranked, const std::unordered_set<int64_t>& relevant, RetrievalScores& scores) {
  const auto found = std::min(static_cast<size_t>(scores.k), ranked.size());
  const auto wanted = std::min(static_cast<size_t>(scores.k), relevant.size());
  double hits = 0, gain = 0, precisions = 0, best_gain = 0;
  for (size_t i = 0; i < found; ++i) {
    if (!relevant.contains(ranked[i])) continue;
    const auto rank = static_cast<double>(i + 1);
    if (hits == 0) scores.mrr += 1 / rank;
    hits += 1;
    gain += 1 / std::log2(rank + 1);
    precisions += hits / rank;
  }
  for (size_t i = 0; i < wanted; ++i) best_gain += 1 / std::log2(static_cast<double>(i) + 2);
  scores.accuracy += hits > 0 ? 1 : 0;
  scores.precision += hits / static_cast<double>(scores.k);
  scores.recall += hits / static_cast<double>(relevant.size());
  scores.ndcg += gain / best_gain;
  scores.map += precisions / static_cast<double>(wanted);
}

}  // namespace

std::vector<RetrievalScores> retrieval_scores(const std::vector<DocumentIds>& ranked,
                                              const std::vector<DocumentIds>& relevant,
                                              const std::vector<int64_t>& ks) {
  if (ranked.size() != relevant.size() || ranked.empty()) {
    throw Error(std::to_string(ranked.size()) + " rankings, " + std::to_string(relevant.size()) + " lists of relevant",
                "retrieval_scores", "give one of each for every query, at least one");
  }
  std::vector<RetrievalScores> scores;
  for (const int64_t k : ks) {
    if (k < 1) throw Error("k is " + std::to_string(k), "retrieval_scores", "look at 1 or more documents");
    scores.push_back({.k = k});
  }
  for (size_t i = 0; i < ranked.size(); ++i) {
    const std::unordered_set<int64_t> wanted(relevant[i].begin(), relevant[i].end());
    if (wanted.empty()) {
      throw Error("query " + std::to_string(i) + " has no relevant document", "retrieval_scores", "leave it out");
    }
    for (RetrievalScores& each : scores) add_query(ranked[i], wanted, each);
  }
  const auto queries = static_cast<double>(ranked.size());
  for (RetrievalScores& each : scores) {
    for (double* score : {&each.accuracy, &each.precision, &each.recall, &each.mrr, &each.ndcg, &each.map}) {
      *score /= queries;
    }
  }
  return scores;
}

std::vector<RetrievalScores> retrieval_scores(const Tensor& queries, const Tensor& documents,
                                              const std::vector<DocumentIds>& relevant, const std::vector<int64_t>& ks,
                                              SimilarityFunction function) {
  const int64_t deepest = ks.empty() ? 1 : std::max<int64_t>(1, *std::max_element(ks.begin(), ks.end()));
  std::vector<DocumentIds> ranked;
  for (const auto& hits : semantic_search(queries, documents, {.top_k = deepest, .score_function = function})) {
    DocumentIds& ids = ranked.emplace_back();
    for (const SearchHit& hit : hits) ids.push_back(hit.corpus_id);
  }
  return retrieval_scores(ranked, relevant, ks);
}

SimilarityCorrelation similarity_correlation(const Tensor& a, const Tensor& b, std::span<const double> scores,
                                             SimilarityFunction function) {
  const std::vector<double> similarities = pairwise_similarity(a, b, function).to_vector<double>();
  return {.pearson = pearson_correlation(similarities, scores), .spearman = spearman_correlation(similarities, scores)};
}

}  // namespace mica
