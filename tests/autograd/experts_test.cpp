// Routing, and a small layer of experts made from its parts against finite differences.

#include "mica/autograd/experts.h"

#include <algorithm>
#include <utility>

#include "tests/autograd/support.h"

#include "mica/autograd/linear.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

using Inputs = std::vector<Tensor>;
using Integers = std::vector<int64_t>;

TEST(Experts, TheBestOfEachRowOfEqualOnesTheFirst) {
  const Tensor scores = Tensor::from(std::vector<double>{1, 3, 2, 3, 0, 0, 0, 0}, {2, 4}, test_device());
  const Routing routing = route(scores, 3);
  EXPECT_EQ(routing.experts.to_vector<int64_t>(), (Integers{1, 3, 2, 0, 1, 2}));
  EXPECT_EQ(routing.weights.to_vector<double>(), (std::vector<double>{3, 3, 2, 0, 0, 0}));
  const Tensor choice = Tensor::from(std::vector<double>{4, 3, 2, 1, 0, 0, 0, 9}, {2, 4}, test_device());
  const Routing other = route(scores, choice, 2);
  EXPECT_EQ(other.experts.to_vector<int64_t>(), (Integers{0, 1, 3, 0}));
  EXPECT_EQ(other.weights.to_vector<double>(), (std::vector<double>{1, 3, 0, 0}));
  EXPECT_THROW(route(scores, 0), Error);
  EXPECT_THROW(route(scores, 5), Error);
  EXPECT_THROW(route(scores, choice.slice(1, 0, 3), 2), Error);
}

TEST(Experts, RowsInTheOrderOfTheirExperts) {
  const Tensor experts = Tensor::from(Integers{3, 0, 0, 1, 3, 1}, {3, 2});
  const ExpertRows grouped = group_by_expert(experts, 5);
  EXPECT_EQ(grouped.counts, (Integers{2, 2, 0, 2, 0}));
  EXPECT_EQ(grouped.rows.to_vector<int64_t>(), (Integers{0, 1, 1, 2, 0, 2}));
  EXPECT_EQ(grouped.places.to_vector<int64_t>(), (Integers{1, 2, 3, 5, 0, 4}));
  EXPECT_THROW(group_by_expert(experts, 3), Error);
  EXPECT_THROW(group_by_expert(Tensor::from(Integers{-1}, {1, 1}), 3), Error);
  const ExpertRows none = group_by_expert(Tensor::from(Integers{}, {0, 2}), 2);
  EXPECT_EQ(none.counts, (Integers{0, 0}));
  EXPECT_EQ(none.rows.numel(), 0);
}

TEST(Experts, IndexAddAndGather) {
  const Tensor index = Tensor::from(Integers{2, 0, 2});
  const Tensor source = Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 6}, {3, 2}, test_device());
  EXPECT_EQ(index_add(4, index, source).to_vector<double>(), (std::vector<double>{3, 4, 0, 0, 6, 8, 0, 0}));
  EXPECT_THROW(index_add(2, index, source).to_vector<double>(), Error);  // a device finds it while it runs
  EXPECT_THROW(index_add(4, index.slice(0, 0, 2), source), Error);
  check_gradients([=](const Inputs& in) { return index_add(4, index, in[0]); }, {random_input({3, 2, 2}, 1)});
  const Tensor x = Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 6}, {2, 3}, test_device());
  const Tensor columns = Tensor::from(Integers{1, 1, 0, 2}, {2, 2});
  EXPECT_EQ(gather(x, columns).to_vector<double>(), (std::vector<double>{2, 2, 4, 6}));
  check_gradients([=](const Inputs& in) { return gather(in[0], columns); }, {random_input({2, 3}, 1)});
  EXPECT_THROW(gather(x.slice(1, 0, 2), columns), Error);
  EXPECT_THROW(gather(x, columns.slice(0, 0, 1)), Error);
}

// Four experts, each a matrix, of which every row takes the two best; one gets no row at all.
TEST(Experts, ALayerOfExperts) {
  constexpr int64_t kRows = 6, kSize = 3, kExperts = 4, kChosen = 2;
  const auto layer = [](const Inputs& in) {
    const Tensor shift = Tensor::from(std::vector<double>{0, 0, 0, -100}, {kExperts}, test_device());  // never chosen
    const Routing routing = route(add(linear(in[0], in[1]), shift), kChosen);
    const ExpertRows grouped = group_by_expert(routing.experts, kExperts);
    EXPECT_EQ(grouped.counts[3], 0);
    const std::vector<Tensor> parts = split(index_select(in[0], grouped.rows), grouped.counts, 0);
    std::vector<Tensor> outputs;
    for (size_t i = 0; i < parts.size(); ++i) {
      if (grouped.counts[i] > 0) outputs.push_back(linear(parts[i], select(in[2], 0, static_cast<int64_t>(i))));
    }
    const Tensor weights = index_select(reshape(softmax(routing.weights), {kRows * kChosen, 1}), grouped.places);
    return index_add(kRows, grouped.rows, multiply(cat(outputs, 0), weights));
  };
  const Inputs inputs{random_input({kRows, kSize}, 1), random_input({kExperts, kSize}, 2),
                      random_input({kExperts, kSize, kSize}, 3)};
  check_gradients(layer, inputs);

  // The same, row by row.
  const NoGrad no_grad;
  const std::vector<double> got = layer(inputs).to_vector<double>();
  const std::vector<double> x = inputs[0].to_vector<double>(), router = inputs[1].to_vector<double>(),
                            experts = inputs[2].to_vector<double>();
  for (size_t row = 0; row < kRows; ++row) {
    std::vector<std::pair<double, size_t>> scores;
    for (size_t e = 0; e < 3; ++e) {
      double score = 0;
      for (size_t i = 0; i < kSize; ++i) score += x[row * kSize + i] * router[e * kSize + i];
      scores.emplace_back(-score, e);
    }
    std::sort(scores.begin(), scores.end());
    const double first = 1 / (1 + std::exp(scores[0].first - scores[1].first));
    for (size_t j = 0; j < kSize; ++j) {
      double want = 0;
      for (size_t c = 0; c < kChosen; ++c) {
        double y = 0;
        for (size_t i = 0; i < kSize; ++i)
          y += x[row * kSize + i] * experts[(scores[c].second * kSize + j) * kSize + i];
        want += (c == 0 ? first : 1 - first) * y;
      }
      EXPECT_NEAR(got[row * kSize + j], want, 1e-14);
    }
  }
}

}  // namespace
}  // namespace mica
