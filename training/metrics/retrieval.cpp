#include "mica/training/metrics/retrieval.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <unordered_set>

#include "mica/base/error.h"
#include "mica/kernels/linear.h"

namespace mica {
namespace {

constexpr int64_t kQueriesAtOnce = 256;

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

// Rows of length 1 (zeros stay zeros), float32 on the host.
Tensor unit_rows(const Tensor& x) {
  const Tensor rows = x.detach().to(Device{}).to(DType::float32).contiguous().clone();
  auto* values = rows.data<float>();
  for (int64_t row = 0; row < rows.size(0); ++row) {
    float* begin = values + row * rows.size(1);
    const double length = std::sqrt(std::inner_product(begin, begin + rows.size(1), begin, 0.0));
    if (length == 0) continue;
    for (int64_t i = 0; i < rows.size(1); ++i) begin[i] = static_cast<float>(static_cast<double>(begin[i]) / length);
  }
  return rows;
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

std::vector<DocumentIds> rank_by_cosine(const Tensor& queries, const Tensor& documents, int64_t count) {
  if (queries.rank() != 2 || documents.rank() != 2 || queries.size(1) != documents.size(1)) {
    throw Error("queries " + to_string(queries.shape()) + ", documents " + to_string(documents.shape()),
                "rank_by_cosine", "give [queries, size] and [documents, size]");
  }
  const Tensor rows = unit_rows(queries), columns = unit_rows(documents);
  const int64_t n = columns.size(0);
  const auto kept = static_cast<size_t>(std::clamp<int64_t>(count, 0, n));
  std::vector<DocumentIds> result;
  for (int64_t first = 0; first < rows.size(0); first += kQueriesAtOnce) {
    const Tensor some = rows.slice(0, first, std::min(first + kQueriesAtOnce, rows.size(0)));
    const Tensor similarities = Tensor::empty({some.size(0), n});
    backend(Device{}).linear().matmul(some.view(), false, columns.view(), true, similarities.view(), 1, 0);
    for (int64_t row = 0; row < some.size(0); ++row) {
      float* values = similarities.data<float>() + row * n;
      std::replace_if(
          values, values + n, [](float value) { return std::isnan(value); }, -HUGE_VALF);  // comes last
      DocumentIds order(static_cast<size_t>(n));
      std::iota(order.begin(), order.end(), int64_t{0});
      std::partial_sort(
          order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
          [&](int64_t a, int64_t b) { return values[a] > values[b] || (values[a] == values[b] && a < b); });
      order.resize(kept);
      result.push_back(std::move(order));
    }
  }
  return result;
}

}  // namespace mica
