#include "mica/models/pipelines/similarity.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>

#include "mica/autograd/linear.h"
#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/kernels/reduce.h"
#include "mica/models/pipelines/sentence_modules.h"

namespace mica {
namespace {

Tensor as_rows(const Tensor& x) {
  if (!x.defined() || x.rank() < 1 || x.rank() > 2 || !is_floating(x.dtype())) {
    throw Error(x.defined() ? to_string(x.shape()) + " " + std::string(name(x.dtype())) + " as vectors"
                            : std::string("no vectors"),
                "similarity", "give a floating point tensor [rows, size]");
  }
  const Tensor flat = x.rank() == 1 ? x.unsqueeze(0) : x;
  return flat.detach().to(DType::float32).contiguous();
}

void expect_equal_sizes(const Tensor& a, const Tensor& b) {
  if (a.size(1) != b.size(1)) {
    throw Error("vectors of size " + std::to_string(a.size(1)) + " and " + std::to_string(b.size(1)), "similarity",
                "compare vectors of one model");
  }
}

float minus_distance(const float* a, const float* b, int64_t size, bool squared) {
  double sum = 0;
  for (int64_t i = 0; i < size; ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += squared ? difference * difference : std::abs(difference);
  }
  return static_cast<float>(-(squared ? std::sqrt(sum) : sum));
}

float dot_of(const float* a, const float* b, int64_t size) {
  double sum = 0;
  for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return static_cast<float>(sum);
}

// Scores of float32 rows; those for the cosine are normalised already.
Tensor scores_of(const Tensor& a, const Tensor& b, SimilarityFunction function) {
  if (a.size(0) == 0 || b.size(0) == 0) return Tensor::empty({a.size(0), b.size(0)});
  if (function == SimilarityFunction::cosine || function == SimilarityFunction::dot) return matmul(a, b, false, true);
  const Tensor x = a.to(Device{});
  const Tensor y = b.to(Device{});
  const Tensor result = Tensor::empty({x.size(0), y.size(0)});
  const int64_t size = x.size(1), columns = y.size(0);
  parallel_for(x.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        result.data<float>()[i * columns + j] = minus_distance(x.data<float>() + i * size, y.data<float>() + j * size,
                                                               size, function == SimilarityFunction::euclidean);
      }
    }
  });
  return result.to(a.device());
}

Tensor prepared(const Tensor& x, SimilarityFunction function) {
  const Tensor rows = as_rows(x);
  return function == SimilarityFunction::cosine ? normalize_rows(rows) : rows;
}

void check_positive(int64_t value, const char* what) {
  if (value <= 0) throw Error(std::string(what) + " is " + std::to_string(value), "similarity", "use 1 or more");
}

bool better(const SearchHit& a, const SearchHit& b) {
  return a.score > b.score || (a.score == b.score && a.corpus_id < b.corpus_id);
}

// The k best of each row of scores, added to `hits` under ids counted from `first_id`; only the k best are kept.
void merge_top(const Tensor& scores, int64_t k, int64_t first_id, std::span<std::vector<SearchHit>> hits) {
  const int64_t count = std::min(k, scores.size(1));
  const Tensor values = Tensor::empty({scores.size(0), count}, scores.dtype(), scores.device());
  const Tensor indices = Tensor::empty({scores.size(0), count}, DType::int64, scores.device());
  backend(scores.device()).reduce().topk(scores.view(), values.view(), indices.view());
  const std::vector<float> value = values.to_vector<float>();
  const std::vector<int64_t> index = indices.to_vector<int64_t>();
  for (size_t row = 0; row < hits.size(); ++row) {
    std::vector<SearchHit>& kept = hits[row];
    const bool merges = !kept.empty();
    for (auto i = row * static_cast<size_t>(count); i < (row + 1) * static_cast<size_t>(count); ++i) {
      kept.push_back({first_id + index[i], value[i]});
    }
    if (merges) std::sort(kept.begin(), kept.end(), better);
    if (kept.size() > static_cast<size_t>(k)) kept.resize(static_cast<size_t>(k));
  }
}

std::vector<std::vector<SearchHit>> search(const Tensor& queries, const Tensor& corpus, int64_t k,
                                           SimilarityFunction function, int64_t query_chunk, int64_t corpus_chunk) {
  check_positive(k, "top_k");
  check_positive(query_chunk, "query_chunk_size");
  check_positive(corpus_chunk, "corpus_chunk_size");
  expect_equal_sizes(queries, corpus);
  std::vector<std::vector<SearchHit>> hits(static_cast<size_t>(queries.size(0)));
  for (int64_t c = 0; c < corpus.size(0); c += corpus_chunk) {
    const Tensor part = corpus.slice(0, c, std::min(c + corpus_chunk, corpus.size(0)));
    for (int64_t q = 0; q < queries.size(0); q += query_chunk) {
      const int64_t end = std::min(q + query_chunk, queries.size(0));
      merge_top(scores_of(queries.slice(0, q, end), part, function), k, c,
                std::span(hits).subspan(static_cast<size_t>(q), static_cast<size_t>(end - q)));
    }
  }
  return hits;
}

}  // namespace

SimilarityFunction similarity_function_from_name(std::string_view wanted) {
  if (wanted == "cosine") return SimilarityFunction::cosine;
  if (wanted == "dot" || wanted == "dot_product") return SimilarityFunction::dot;
  if (wanted == "euclidean") return SimilarityFunction::euclidean;
  if (wanted == "manhattan") return SimilarityFunction::manhattan;
  throw Error("unknown similarity function \"" + printable(wanted) + "\"", "similarity",
              "use cosine, dot, euclidean or manhattan");
}

std::string_view name(SimilarityFunction function) {
  switch (function) {
    case SimilarityFunction::cosine:
      return "cosine";
    case SimilarityFunction::dot:
      return "dot";
    case SimilarityFunction::euclidean:
      return "euclidean";
    case SimilarityFunction::manhattan:
      break;
  }
  return "manhattan";
}

Tensor similarity(const Tensor& a, const Tensor& b, SimilarityFunction function) {
  const NoGrad no_grad;
  const Tensor x = prepared(a, function);
  const Tensor y = prepared(b, function);
  expect_equal_sizes(x, y);
  return scores_of(x, y, function);
}

Tensor pairwise_similarity(const Tensor& a, const Tensor& b, SimilarityFunction function) {
  const NoGrad no_grad;
  const Tensor x = prepared(a, function).to(Device{});
  const Tensor y = prepared(b, function).to(Device{});
  expect_equal_sizes(x, y);
  if (x.size(0) != y.size(0)) {
    throw Error(std::to_string(x.size(0)) + " and " + std::to_string(y.size(0)) + " vectors", "pairwise similarity",
                "give as many of each");
  }
  const int64_t size = x.size(1);
  const Tensor result = Tensor::empty({x.size(0)});
  for (int64_t i = 0; i < x.size(0); ++i) {
    const float* p = x.data<float>() + i * size;
    const float* q = y.data<float>() + i * size;
    const bool is_product = function == SimilarityFunction::cosine || function == SimilarityFunction::dot;
    result.data<float>()[i] =
        is_product ? dot_of(p, q, size) : minus_distance(p, q, size, function == SimilarityFunction::euclidean);
  }
  return result;
}

std::vector<std::vector<SearchHit>> semantic_search(const Tensor& queries, const Tensor& corpus,
                                                    const SearchOptions& options) {
  const NoGrad no_grad;
  return search(prepared(queries, options.score_function), prepared(corpus, options.score_function), options.top_k,
                options.score_function, options.query_chunk_size, options.corpus_chunk_size);
}

std::vector<ParaphrasePair> paraphrase_mining_embeddings(const Tensor& embeddings, const MiningOptions& options) {
  const NoGrad no_grad;
  check_positive(options.max_pairs, "max_pairs");
  check_positive(options.query_chunk_size, "query_chunk_size");
  check_positive(options.top_k, "top_k");
  const Tensor rows = prepared(embeddings, options.score_function);
  std::vector<ParaphrasePair> pairs;
  const auto best_first = [](const ParaphrasePair& a, const ParaphrasePair& b) {
    return a.score != b.score ? a.score > b.score : std::tie(a.first, a.second) < std::tie(b.first, b.second);
  };
  const auto same = [](const ParaphrasePair& a, const ParaphrasePair& b) {
    return a.first == b.first && a.second == b.second;
  };
  // A pair is found from both its ends (with scores that may differ in the last bit): the better one is kept. Pairs are
  // thinned out whenever twice as many as wanted have come together.
  const auto thin = [&] {
    std::sort(pairs.begin(), pairs.end(), [&](const ParaphrasePair& a, const ParaphrasePair& b) {
      return std::tie(a.first, a.second) != std::tie(b.first, b.second)
                 ? std::tie(a.first, a.second) < std::tie(b.first, b.second)
                 : a.score > b.score;
    });
    pairs.erase(std::unique(pairs.begin(), pairs.end(), same), pairs.end());
    std::sort(pairs.begin(), pairs.end(), best_first);
    if (pairs.size() > static_cast<size_t>(options.max_pairs)) pairs.resize(static_cast<size_t>(options.max_pairs));
  };
  for (int64_t q = 0; q < rows.size(0); q += options.query_chunk_size) {
    const int64_t end = std::min(q + options.query_chunk_size, rows.size(0));
    // Each row finds itself too.
    const int64_t k = std::min(options.top_k, rows.size(0)) + 1;
    const auto hits = search(rows.slice(0, q, end), rows, k, options.score_function, options.query_chunk_size,
                             options.corpus_chunk_size);
    for (size_t row = 0; row < hits.size(); ++row) {
      const int64_t self = q + static_cast<int64_t>(row);
      int64_t left = options.top_k;
      for (const SearchHit& hit : hits[row]) {
        if (hit.corpus_id == self || left-- <= 0) continue;
        pairs.push_back({hit.score, std::min(self, hit.corpus_id), std::max(self, hit.corpus_id)});
      }
    }
    if (pairs.size() / 2 > static_cast<size_t>(options.max_pairs)) thin();
  }
  thin();
  return pairs;
}

}  // namespace mica
