#pragma once
// How well a search finds what is relevant, as sentence-transformers' InformationRetrievalEvaluator measures it.

#include <cstdint>
#include <vector>

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

/// The best `count` documents of each query by cosine similarity, ties by the document's place. queries [n, size],
/// documents [m, size], floating. Memory for a few hundred queries' similarities at a time.
std::vector<DocumentIds> rank_by_cosine(const Tensor& queries, const Tensor& documents, int64_t count);

}  // namespace mica
