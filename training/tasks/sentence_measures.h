#pragma once
// Internal: what is measured of sentence embeddings. Predictions are a row's embeddings [texts, size]. Names are those
// of sentence-transformers' evaluators: "spearman_cosine", "cosine_ap", "cosine_ndcg@10".

#include <cstdint>
#include <vector>

#include "mica/models/pipelines/similarity.h"
#include "mica/training/evaluation.h"

namespace mica {

/// Pearson's and Spearman's correlation of each similarity function with the rows' labels.
MetricsFunction embedding_similarity_metrics();

/// Accuracy, F1 and average precision of telling rows labelled 1 from rows labelled 0.
MetricsFunction pair_classification_metrics(SimilarityFunction function);

/// Which texts are the same: numbers of equal texts are equal, from 0 on in the order in which they first occur.
struct SentenceIds {
  std::vector<int64_t> queries;                 ///< a row's first text
  std::vector<std::vector<int64_t>> documents;  ///< its others; the first of them answers the query
};

/// Retrieval of the documents that belong to each query among all documents; of rows with negatives also how often the
/// positive is closer to the anchor than every negative.
MetricsFunction ranking_metrics(SentenceIds ids, SimilarityFunction function);

}  // namespace mica
