#pragma once
// Losses that teach a model sentence embeddings: one number each, differentiable with respect to the embeddings, equal
// to those of the sentence-transformers library. Embeddings are [rows, size], floating; row i of each belongs together.
// Throws Error where shapes do not fit, and for a label that is not what a loss needs.

#include <functional>
#include <span>
#include <vector>

#include "mica/tensor/tensor.h"

namespace mica {

/// Rows scaled to length 1; a row of zeros stays.
Tensor unit_length(const Tensor& x);
/// cos(a_i, b_i): [rows].
Tensor pairwise_cosine(const Tensor& a, const Tensor& b);
/// |a_i - b_i + shift|, the shift added to every element: [rows]. Its gradient is 0 where nothing is left.
Tensor pairwise_distance(const Tensor& a, const Tensor& b, double shift = 0);

/// Multiple negatives ranking (Henderson et al. 2017), also known as InfoNCE: embeddings[0] are anchors, embeddings[1]
/// their positives, any others their hard negatives. The positive must be found among all rows of all but the first:
///   mean over i of -log softmax_j(scale cos(anchor_i, candidate_j))[i]
Tensor multiple_negatives_ranking_loss(const std::vector<Tensor>& embeddings, double scale = 20);

/// Mean of (cos(a_i, b_i) - label_i)^2.
Tensor cosine_similarity_loss(const Tensor& a, const Tensor& b, std::span<const double> labels);

/// CoSENT: log(1 + sum of e^(scale (cos(a_i, b_i) - cos(a_j, b_j)))) over all i, j with label_i < label_j.
Tensor cosent_loss(const Tensor& a, const Tensor& b, std::span<const double> labels, double scale = 20);

enum class EmbeddingDistance : uint8_t { euclidean, cosine };  ///< |a - b|, or 1 - cos(a, b)

/// Mean of max(0, d(anchor, positive) - d(anchor, negative) + margin).
Tensor triplet_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative, double margin = 5,
                    EmbeddingDistance distance = EmbeddingDistance::euclidean);

/// Mean of (label d^2 + (1 - label) max(0, margin - d)^2) / 2; labels 1 (alike) and 0. As in torch's pairwise_distance,
/// a euclidean d has 1e-6 added to each difference.
Tensor contrastive_loss(const Tensor& a, const Tensor& b, std::span<const double> labels, double margin = 0.5,
                        EmbeddingDistance distance = EmbeddingDistance::cosine);

/// The same terms, undivided, summed over hard pairs alone: alike but further apart than the closest unlike pair, or
/// unlike but closer than the furthest alike one. (Of one kind only: those beyond the mean.)
Tensor online_contrastive_loss(const Tensor& a, const Tensor& b, std::span<const double> labels, double margin = 0.5,
                               EmbeddingDistance distance = EmbeddingDistance::cosine);

/// Cross entropy of the classes of pairs, from a linear layer over (a, b, |a - b|): weight [classes, 3 size], bias
/// [classes] or undefined. Labels: int64 [rows] (Reimers and Gurevych 2019).
Tensor softmax_loss(const Tensor& a, const Tensor& b, const Tensor& weight, const Tensor& bias, const Tensor& labels);

using EmbeddingLoss = std::function<Tensor(const std::vector<Tensor>& embeddings)>;

/// Matryoshka (Kusupati et al. 2022): the sum over `dims` of the weight times the loss of the first so many elements of
/// each embedding, scaled to length 1. `weights`: one a dim; none: 1.
Tensor matryoshka_loss(const std::vector<Tensor>& embeddings, const EmbeddingLoss& loss,
                       const std::vector<int64_t>& dims, const std::vector<double>& weights = {});

}  // namespace mica
