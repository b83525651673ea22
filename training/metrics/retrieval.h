#pragma once
// What sentence embeddings are good for, as sentence-transformers' InformationRetrievalEvaluator and
// EmbeddingSimilarityEvaluator measure it.

#include <cstdint>
#include <span>
#include <vector>

#include "mica/models/pipelines/similarity.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// At one cut-off k; means over queries.
struct RetrievalScores {
  int64_t k = 0;
  double accuracy = 0;  ///< a relevant document is among the first k
  double precision = 0, recall = 0;
  double mrr = 0;   ///< 1 / rank of the first relevant document
  double ndcg = 0;  ///< gains of relevant documents, discounted by log2(rank + 1), over the best order's
  double map = 0;   ///< mean of the precisions at relevant documents
};

using DocumentIds = std::vector<int64_t>;

/// ranked[i]: documents found for query i, the best first; relevant[i]: what should be found, at least one each.
/// Throws Error where the two differ in length, a query has nothing relevant, or a k is below 1.
std::vector<RetrievalScores> retrieval_scores(const std::vector<DocumentIds>& ranked,
                                              const std::vector<DocumentIds>& relevant,
                                              const std::vector<int64_t>& ks = {1, 3, 5, 10, 100});

/// The same of a search by embeddings: queries [n, size] and documents [m, size], floating; ids are the documents'
/// rows.
std::vector<RetrievalScores> retrieval_scores(const Tensor& queries, const Tensor& documents,
                                              const std::vector<DocumentIds>& relevant,
                                              const std::vector<int64_t>& ks = {1, 3, 5, 10, 100},
                                              SimilarityFunction function = SimilarityFunction::cosine);

/// How the similarities of pairs, row i of a with row i of b, follow the scores that they should have.
struct SimilarityCorrelation {
  double pearson = 0, spearman = 0;
};
SimilarityCorrelation similarity_correlation(const Tensor& a, const Tensor& b, std::span<const double> scores,
                                             SimilarityFunction function = SimilarityFunction::cosine);

}  // namespace mica
