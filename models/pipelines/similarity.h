#pragma once
// How alike vectors are: scores, search, and mining of pairs. Vectors are rows of float32 tensors [n, size]; a single
// vector [size] counts as one row. Distances are returned negated, so that more is always more alike.

#include <cstdint>
#include <string_view>
#include <vector>

#include "mica/tensor/tensor.h"

namespace mica {

enum class SimilarityFunction : uint8_t { cosine, dot, euclidean, manhattan };

/// "cosine", "dot" (also "dot_product"), "euclidean", "manhattan"; throws Error for another name.
SimilarityFunction similarity_function_from_name(std::string_view name);
std::string_view name(SimilarityFunction function);

/// scores [a's rows, b's rows] of every row of a with every row of b. Throws Error where the sizes differ.
Tensor similarity(const Tensor& a, const Tensor& b, SimilarityFunction function);
/// scores [rows] of row i of a with row i of b.
Tensor pairwise_similarity(const Tensor& a, const Tensor& b, SimilarityFunction function);

inline Tensor cos_sim(const Tensor& a, const Tensor& b) {
  return similarity(a, b, SimilarityFunction::cosine);
}
inline Tensor dot_score(const Tensor& a, const Tensor& b) {
  return similarity(a, b, SimilarityFunction::dot);
}
inline Tensor euclidean_sim(const Tensor& a, const Tensor& b) {
  return similarity(a, b, SimilarityFunction::euclidean);
}
inline Tensor manhattan_sim(const Tensor& a, const Tensor& b) {
  return similarity(a, b, SimilarityFunction::manhattan);
}

struct SearchOptions {
  int64_t top_k = 10;
  SimilarityFunction score_function = SimilarityFunction::cosine;
  int64_t query_chunk_size =
      100;  ///< scores of query chunk x corpus chunk are held at once; results don't depend on it
  int64_t corpus_chunk_size = 100'000;
};

struct SearchHit {
  int64_t corpus_id = 0;
  float score = 0;
};

/// For each query the top_k rows of the corpus, best first; equal scores by id.
std::vector<std::vector<SearchHit>> semantic_search(const Tensor& queries, const Tensor& corpus,
                                                    const SearchOptions& options = {});

struct MiningOptions {
  int64_t top_k = 100;  ///< neighbours looked at for each row
  int64_t max_pairs = 500'000;
  SimilarityFunction score_function = SimilarityFunction::cosine;
  int64_t query_chunk_size = 500;
  int64_t corpus_chunk_size = 100'000;
};

struct ParaphrasePair {
  float score = 0;
  int64_t first = 0, second = 0;  ///< first < second
};

/// The pairs of rows that are most alike, best first.
std::vector<ParaphrasePair> paraphrase_mining_embeddings(const Tensor& embeddings, const MiningOptions& options = {});

}  // namespace mica
