#include "mica/training/losses/sentence.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "mica/autograd/activation.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/loss.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"
#include "mica/models/pipelines/sentence_modules.h"

namespace mica {
namespace {

void check_rows(const char* loss, const Tensor& a, const Tensor& b) {
  if (a && b && a.rank() == 2 && a.shape() == b.shape() && a.size(0) > 0) return;
  throw Error("embeddings " + (a ? to_string(a.shape()) : "none") + " and " + (b ? to_string(b.shape()) : "none"), loss,
              "give embeddings [rows, size] of one shape, with at least one row");
}

void check_labels(const char* loss, const Tensor& a, std::span<const double> labels, bool binary) {
  if (static_cast<int64_t>(labels.size()) != a.size(0)) {
    throw Error(std::to_string(labels.size()) + " labels for " + std::to_string(a.size(0)) + " pairs", loss,
                "give one label a pair");
  }
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!std::isfinite(labels[i]) || (binary && labels[i] != 0 && labels[i] != 1)) {
      throw Error("label " + std::to_string(labels[i]) + " of pair " + std::to_string(i), loss,
                  binary ? "use 1 for alike and 0 for unlike" : "use finite numbers");
    }
  }
}

Tensor like(const Tensor& x, std::span<const double> values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}).to(x.dtype()).to(x.device());
}

Tensor square(const Tensor& x) {
  return multiply(x, x);
}

Tensor positive_part(const Tensor& x) {
  return activate(x, Activation::relu);
}

// What torch's pairwise_distance adds to differences.
constexpr double kContrastiveShift = 1e-6;

Tensor distances(const Tensor& a, const Tensor& b, EmbeddingDistance distance, double shift = 0) {
  return distance == EmbeddingDistance::euclidean ? pairwise_distance(a, b, shift)
                                                  : affine(pairwise_cosine(a, b), -1, 1);
}

Tensor chosen(const Tensor& x, const std::vector<int64_t>& rows) {
  return index_select(x, Tensor::from(rows).to(x.device()));
}

}  // namespace

Tensor unit_length(const Tensor& x) {
  return normalize_rows(x);
}

Tensor pairwise_cosine(const Tensor& a, const Tensor& b) {
  check_rows("pairwise_cosine", a, b);
  return sum(multiply(unit_length(a), unit_length(b)), -1);
}

// |x| = x · (x / |x|). The product rule's second part, x · d(x / |x|), is zero, so the gradient is x / |x| as it
// should.
Tensor pairwise_distance(const Tensor& a, const Tensor& b, double shift) {
  check_rows("pairwise_distance", a, b);
  const Tensor difference = affine(subtract(a, b), 1, shift);
  return sum(multiply(difference, unit_length(difference)), -1);
}

Tensor multiple_negatives_ranking_loss(const std::vector<Tensor>& embeddings, double scale) {
  constexpr const char* kName = "multiple_negatives_ranking_loss";
  if (embeddings.size() < 2) {
    throw Error(std::to_string(embeddings.size()) + " columns of embeddings", kName, "give anchors and positives");
  }
  if (!(scale > 0)) throw Error("scale " + std::to_string(scale), kName, "use a positive number");
  for (size_t i = 1; i < embeddings.size(); ++i) check_rows(kName, embeddings[0], embeddings[i]);
  const Tensor candidates = cat({embeddings.begin() + 1, embeddings.end()}, 0);
  const Tensor scores = affine(matmul(unit_length(embeddings[0]), unit_length(candidates), false, true), scale);
  return cross_entropy(scores, Tensor::arange(embeddings[0].size(0)));
}

Tensor cosine_similarity_loss(const Tensor& a, const Tensor& b, std::span<const double> labels) {
  check_rows("cosine_similarity_loss", a, b);
  check_labels("cosine_similarity_loss", a, labels, false);
  return mse_loss(pairwise_cosine(a, b), like(a, labels));
}

// The logarithm of 1 + sum e^x is the cross entropy of class 0 among the scores (0, x).
Tensor cosent_loss(const Tensor& a, const Tensor& b, std::span<const double> labels, double scale) {
  check_rows("cosent_loss", a, b);
  check_labels("cosent_loss", a, labels, false);
  const Tensor scores = affine(pairwise_cosine(a, b), scale);
  std::vector<int64_t> lower, higher;
  for (size_t i = 0; i < labels.size(); ++i) {
    for (size_t j = 0; j < labels.size(); ++j) {
      if (labels[i] >= labels[j]) continue;
      lower.push_back(static_cast<int64_t>(i));
      higher.push_back(static_cast<int64_t>(j));
    }
  }
  const Tensor zero = Tensor::zeros({1}, a.dtype(), a.device());
  const Tensor all = cat({zero, subtract(chosen(scores, lower), chosen(scores, higher))}, 0);
  return cross_entropy(reshape(all, {1, all.size(0)}), Tensor::zeros({1}, DType::int64));
}

Tensor triplet_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative, double margin,
                    EmbeddingDistance distance) {
  check_rows("triplet_loss", anchor, positive);
  check_rows("triplet_loss", anchor, negative);
  const Tensor excess = subtract(distances(anchor, positive, distance), distances(anchor, negative, distance));
  return mean(positive_part(affine(excess, 1, margin)));
}

Tensor contrastive_loss(const Tensor& a, const Tensor& b, std::span<const double> labels, double margin,
                        EmbeddingDistance distance) {
  check_rows("contrastive_loss", a, b);
  check_labels("contrastive_loss", a, labels, true);
  const Tensor d = distances(a, b, distance, kContrastiveShift);
  const Tensor alike = like(a, labels);
  const Tensor apart = square(positive_part(affine(d, -1, margin)));
  return affine(mean(add(multiply(alike, square(d)), multiply(affine(alike, -1, 1), apart))), 0.5);
}

Tensor online_contrastive_loss(const Tensor& a, const Tensor& b, std::span<const double> labels, double margin,
                               EmbeddingDistance distance) {
  check_rows("online_contrastive_loss", a, b);
  check_labels("online_contrastive_loss", a, labels, true);
  const Tensor d = distances(a, b, distance, kContrastiveShift);
  const std::vector<double> values = d.detach().to_vector<double>();
  double furthest_alike = -HUGE_VAL, closest_unlike = HUGE_VAL;
  int64_t alike_count = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (labels[i] == 1) {
      furthest_alike = std::max(furthest_alike, values[i]);
      ++alike_count;
    } else {
      closest_unlike = std::min(closest_unlike, values[i]);
    }
  }
  const double mean_distance = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  if (alike_count == 0) furthest_alike = mean_distance;
  if (alike_count == static_cast<int64_t>(values.size())) closest_unlike = mean_distance;
  std::vector<int64_t> alike, unlike;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    if (labels[i] == 1 && values[i] > closest_unlike) alike.push_back(row);
    if (labels[i] == 0 && values[i] < furthest_alike) unlike.push_back(row);
  }
  return add(sum(square(chosen(d, alike))), sum(square(positive_part(affine(chosen(d, unlike), -1, margin)))));
}

Tensor softmax_loss(const Tensor& a, const Tensor& b, const Tensor& weight, const Tensor& bias, const Tensor& labels) {
  check_rows("softmax_loss", a, b);
  const Tensor difference = subtract(a, b);
  const Tensor size = add(positive_part(difference), positive_part(affine(difference, -1)));
  return cross_entropy(linear(cat({a, b, size}, 1), weight, bias), labels);
}

Tensor matryoshka_loss(const std::vector<Tensor>& embeddings, const EmbeddingLoss& loss,
                       const std::vector<int64_t>& dims, const std::vector<double>& weights) {
  if (dims.empty() || (!weights.empty() && weights.size() != dims.size())) {
    throw Error(std::to_string(dims.size()) + " dims, " + std::to_string(weights.size()) + " weights",
                "matryoshka_loss", "give at least one dim, and a weight for each or none");
  }
  Tensor total;
  for (size_t i = 0; i < dims.size(); ++i) {
    std::vector<Tensor> shorter;
    for (const Tensor& each : embeddings) {
      if (each.rank() != 2 || dims[i] < 1 || dims[i] > each.size(1)) {
        throw Error("dim " + std::to_string(dims[i]) + " of embeddings " + to_string(each.shape()), "matryoshka_loss",
                    "use 1 to the embedding's size");
      }
      shorter.push_back(unit_length(slice(each, 1, 0, dims[i])));
    }
    const Tensor part = affine(loss(shorter), weights.empty() ? 1 : weights[i]);
    total = total ? add(total, part) : part;
  }
  return total;
}

}  // namespace mica
