#include <functional>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/tests/autograd/support.h"
#include "mica/tests/training/support.h"
#include "mica/training/losses/sentence.h"

namespace mica {
namespace {

const std::vector<double> kBinary{1, 0, 0, 1, 1, 0}, kGraded{0.25, 1, 0.25, 0.5, 0.75, 0};
const std::vector<double> kOnes(6, 1.0), kZeros(6, 0.0);

// The numbers of generate_losses.py.
Tensor filled(int seed, const Shape& shape) {
  std::vector<double> values;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    values.push_back(static_cast<double>((i * 37 + seed * 101 + 11) % 97) / 48.5 - 1);
  }
  return Tensor::from(values, shape);
}

Tensor ranking(const std::vector<Tensor>& e) {
  return multiple_negatives_ranking_loss(e);
}
Tensor cosent(const std::vector<Tensor>& e) {
  return cosent_loss(e[0], e[1], kGraded);
}

using Columns = std::vector<Tensor>;

const std::map<std::string, EmbeddingLoss>& losses() {
  static const std::map<std::string, EmbeddingLoss> all{
      {"ranking", ranking},
      {"ranking_hard", [](const Columns& e) { return multiple_negatives_ranking_loss(e, 5); }},
      {"cosine", [](const Columns& e) { return cosine_similarity_loss(e[0], e[1], kGraded); }},
      {"cosent", cosent},
      {"triplet", [](const Columns& e) { return triplet_loss(e[0], e[1], e[2]); }},
      {"triplet_cosine",
       [](const Columns& e) { return triplet_loss(e[0], e[1], e[2], 0.5, EmbeddingDistance::cosine); }},
      {"contrastive", [](const Columns& e) { return contrastive_loss(e[0], e[1], kBinary); }},
      {"contrastive_euclidean",
       [](const Columns& e) { return contrastive_loss(e[0], e[1], kBinary, 2, EmbeddingDistance::euclidean); }},
      {"online", [](const Columns& e) { return online_contrastive_loss(e[0], e[1], kBinary, 1.25); }},
      {"online_alike", [](const Columns& e) { return online_contrastive_loss(e[0], e[1], kOnes); }},
      {"online_unlike", [](const Columns& e) { return online_contrastive_loss(e[0], e[1], kZeros, 1.25); }},
      {"softmax",
       [](const Columns& e) {
         return softmax_loss(e[0], e[1], filled(9, {3, 12}).to(e[0].device()),
                             Tensor::from(std::vector<double>{0.5, -0.25, 0.125}).to(e[0].device()),
                             Tensor::from(std::vector<int64_t>{0, 2, 1, 1, 0, 2}));
       }},
      {"matryoshka",
       [](const Columns& e) {
         return matryoshka_loss(e, ranking, {4, 2, 1}, {1, 0.5, 0.25});
       }},
      {"matryoshka_cosent",
       [](const Columns& e) {
         return matryoshka_loss(e, cosent, {4, 3});
       }},
  };
  return all;
}

TEST(SentenceLosses, AreTheReferencesWithTheirGradients) {
  const Json data = test::reference("losses.json");
  ASSERT_EQ(data.size(), losses().size());
  for (const auto& [name, loss] : losses()) {
    SCOPED_TRACE(name);
    const Json& want = data[name];
    Columns embeddings;
    for (size_t k = 0; k < want["gradients"].size(); ++k) {
      embeddings.push_back(filled(static_cast<int>(k), {6, 4}));
      embeddings.back().set_requires_grad();
    }
    const Tensor value = loss(embeddings);
    EXPECT_NEAR(value.item<double>(), want["loss"].get<double>(), 1e-12);
    backward(value);
    for (size_t k = 0; k < embeddings.size(); ++k) {
      const std::vector<double> gradient = embeddings[k].grad().to_vector<double>();
      for (size_t i = 0; i < gradient.size(); ++i) {
        EXPECT_NEAR(gradient[i], want["gradients"][k][i].get<double>(), 1e-12) << "column " << k << " at " << i;
      }
    }
  }
}

TEST(SentenceLosses, GradientsAreSlopes) {
  for (const auto& [name, loss] : losses()) {
    SCOPED_TRACE(name);
    Columns embeddings;
    for (uint64_t k = 0; k < (name == "ranking_hard" ? 4U : name.starts_with("triplet") ? 3U : 2U); ++k) {
      embeddings.push_back(random_input({6, 4}, k + 1));
    }
    check_gradients(loss, embeddings);
  }
}

TEST(SentenceLosses, EqualAndEmptyEmbeddingsHaveFiniteGradients) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor a = filled(1, {2, 4}).to(dtype), b = a.clone(), zero = Tensor::zeros({2, 4}, dtype);
    for (const Tensor& each : {a, b, zero}) each.set_requires_grad();
    backward(sum(pairwise_distance(a, b)));
    EXPECT_EQ(a.grad().to_vector<double>(), std::vector<double>(8, 0.0));
    EXPECT_EQ(pairwise_cosine(zero, a).to_vector<double>(), (std::vector<double>{0, 0}));
    EXPECT_EQ(unit_length(zero).to_vector<double>(), std::vector<double>(8, 0.0));
  }
}

TEST(SentenceLosses, NoPairsToCompareIsNoLoss) {
  const Tensor a = filled(1, {2, 4}), b = filled(2, {2, 4});
  a.set_requires_grad();
  const Tensor loss = cosent_loss(a, b, std::vector<double>{0.5, 0.5});
  EXPECT_EQ(loss.item<double>(), 0);
  backward(loss);
  EXPECT_EQ(a.grad().to_vector<double>(), std::vector<double>(8, 0.0));
}

TEST(SentenceLosses, WhatDoesNotFitIsRefused) {
  const Tensor a = filled(1, {2, 4}), b = filled(2, {3, 4});
  const std::vector<double> two{1, 0}, three{1, 0, 1}, odd{1, 0.5}, bad{1, std::nan("")};
  EXPECT_THROW(multiple_negatives_ranking_loss({a}), Error);
  EXPECT_THROW(multiple_negatives_ranking_loss({a, b}), Error);
  EXPECT_THROW(multiple_negatives_ranking_loss({a, a}, 0), Error);
  EXPECT_THROW(cosine_similarity_loss(a, a, three), Error);
  EXPECT_THROW(cosine_similarity_loss(a, b, two), Error);
  EXPECT_THROW(cosent_loss(a, a, bad), Error);
  EXPECT_THROW(contrastive_loss(a, a, odd), Error);
  EXPECT_THROW(online_contrastive_loss(a, a, odd), Error);
  EXPECT_THROW(triplet_loss(a, a, b), Error);
  EXPECT_THROW(matryoshka_loss({a, a}, ranking, {5}), Error);
  EXPECT_THROW(matryoshka_loss({a, a}, ranking, {}), Error);
  EXPECT_THROW(matryoshka_loss({a, a}, ranking, {2}, {1, 1}), Error);
}

}  // namespace
}  // namespace mica
