// A layer of experts whose routing stays on the device: against finite differences, and against the layer that looks at
// the routing and multiplies an expert at a time.

#include "mica/autograd/grouped_experts.h"

#include <string>

#include "tests/autograd/support.h"

#include "mica/autograd/activation.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

using Inputs = std::vector<Tensor>;

constexpr int64_t kRows = 5, kSize = 4, kInner = 3, kExperts = 4, kChosen = 2;

class GroupedExpertsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!groups_experts(test_device())) GTEST_SKIP() << "experts are multiplied one by one here";
  }
};

// Of which the last is never chosen.
ExpertRules rules() {
  return {Tensor::from(std::vector<double>{0, 0, 0, -100}, {kExperts}, test_device()), 2, 2};
}

// in: x, the router; of gate and up each expert's weight and bias, of down each expert's weight.
Tensor grouped_layer(const Inputs& in) {
  const Routing routing = choose_experts(linear(in[0], in[1]), kChosen, rules());
  const ExpertOrder order = order_by_expert(routing.experts, kExperts);
  ExpertLayers gate_up, down;
  for (size_t i = 0; i < 2 * kExperts; ++i) {
    gate_up.weights.push_back(in[2 + i]);
    gate_up.biases.push_back(in[2 + 2 * kExperts + i]);
  }
  down.weights.assign(in.begin() + 2 + 4 * kExperts, in.end());
  const Tensor both = expert_linear(to_experts(in[0], order), order, gate_up, DType::float32);
  const Tensor inner = activate_and_multiply(both, Activation::silu);
  return from_experts(expert_linear(inner, order, down, DType::float32), softmax(routing.weights), order);
}

Tensor separate_layer(const Inputs& in) {
  const Tensor scores = linear(in[0], in[1]);
  const Routing routing = route(scores, add(scores.detach(), rules().correction), kChosen);
  const ExpertRows grouped = group_by_expert(routing.experts, kExperts);
  const std::vector<Tensor> parts = split(index_select(in[0], grouped.rows), grouped.counts, 0);
  std::vector<Tensor> outputs;
  for (size_t e = 0; e < kExperts; ++e) {
    if (grouped.counts[e] == 0) continue;
    const auto layer = [&](size_t which) {
      return linear(parts[e], in[2 + which * kExperts + e], in[2 + (2 + which) * kExperts + e]);
    };
    const Tensor inner = activate_and_multiply(layer(0), layer(1), Activation::silu);
    outputs.push_back(linear(inner, in[2 + 4 * kExperts + e]));
  }
  const Tensor weights = index_select(reshape(softmax(routing.weights), {kRows * kChosen, 1}), grouped.places);
  return index_add(kRows, grouped.rows, multiply(cat(outputs, 0), weights));
}

Inputs layer_inputs() {
  Inputs in{random_input({kRows, kSize}, 1), random_input({kExperts, kSize}, 2)};
  for (uint64_t i = 0; i < 2 * kExperts; ++i) in.push_back(random_input({kInner, kSize}, 10 + i));
  for (uint64_t i = 0; i < 2 * kExperts; ++i) in.push_back(random_input({kInner}, 30 + i));
  for (uint64_t i = 0; i < kExperts; ++i) in.push_back(random_input({kSize, kInner}, 50 + i));
  return in;
}

TEST_F(GroupedExpertsTest, ALayerAgainstFiniteDifferences) {
  check_gradients(grouped_layer, layer_inputs());
}

TEST_F(GroupedExpertsTest, ALayerIsThatOfSeparateProducts) {
  const Inputs in = layer_inputs();
  const auto run = [&](Tensor (*layer)(const Inputs&)) {
    for (const Tensor& each : in) each.set_grad({});
    const Tensor y = layer(in);
    backward(y, Tensor::ones(y.shape(), y.dtype(), y.device()));
    std::vector<std::vector<double>> results{y.to_vector<double>()};
    for (const Tensor& each : in) {
      const Tensor gradient = each.grad();
      results.push_back(gradient.defined() ? gradient.to_vector<double>()
                                           : std::vector<double>(static_cast<size_t>(each.numel())));
    }
    return results;
  };
  const auto got = run(grouped_layer), want = run(separate_layer);
  for (size_t i = 0; i < want.size(); ++i) {
    for (size_t k = 0; k < want[i].size(); ++k) EXPECT_NEAR(got[i][k], want[i][k], 1e-13) << i << ": " << k;
  }
  // The last expert has no rows: here gradients of zeros, there none.
  EXPECT_EQ(got.back(), std::vector<double>(kSize * kInner));
  EXPECT_FALSE(in.back().grad().defined());
}

TEST_F(GroupedExpertsTest, StacksAgainstFiniteDifferences) {
  const auto layer = [](const Inputs& in) {
    const Routing routing = choose_experts(in[1], kChosen);
    const ExpertOrder order = order_by_expert(routing.experts, kExperts);
    ExpertLayers layers;
    layers.weights = {in[2]};
    layers.biases = {in[3]};
    return from_experts(expert_linear(to_experts(in[0], order), order, layers, DType::float32), routing.weights, order);
  };
  check_gradients(layer, {random_input({kRows, kSize}, 1), random_input({kRows, kExperts}, 2),
                          random_input({kExperts, kSize, 6}, 3), random_input({kExperts, 6}, 4)});
}

TEST_F(GroupedExpertsTest, ParametersThatMoveAreFound) {
  const NoGrad no_grad;
  const Tensor x = random_input({kRows, kSize}, 1), scores = random_input({kRows, 1}, 2);
  const ExpertOrder order = order_by_expert(choose_experts(scores, 1).experts, 1);
  ExpertLayers layers;
  layers.weights = {random_input({3, kSize}, 3)};
  const auto run = [&] {
    return expert_linear(to_experts(x, order), order, layers, DType::float32).to_vector<double>();
  };
  EXPECT_EQ(run(), linear(x, layers.weights[0], {}, DType::float32).to_vector<double>());
  layers.weights[0].set_data(random_input({3, kSize}, 4).detach());
  EXPECT_EQ(run(), linear(x, layers.weights[0], {}, DType::float32).to_vector<double>());
}

TEST_F(GroupedExpertsTest, ShapesThatDoNotFitAreErrors) {
  const Tensor x = random_input({kRows, kSize}, 1), scores = random_input({kRows, kExperts}, 2);
  EXPECT_THROW(choose_experts(scores, 0), Error);
  EXPECT_THROW(choose_experts(scores, 5), Error);
  EXPECT_THROW(choose_experts(scores, 2, {{}, 3, 1}), Error);
  EXPECT_THROW(choose_experts(scores, 2, {{}, 2, 3}), Error);
  EXPECT_THROW(choose_experts(scores, 2, {x, 1, 1}), Error);
  const Routing routing = choose_experts(scores, kChosen);
  const ExpertOrder order = order_by_expert(routing.experts, kExperts);
  EXPECT_THROW(order_by_expert(scores, kExperts), Error);
  EXPECT_THROW(to_experts(x.detach().slice(0, 0, 2), order), Error);
  EXPECT_THROW(from_experts(x, routing.weights, order), Error);
  ExpertLayers layers;
  const Tensor rows = to_experts(x, order);
  EXPECT_THROW(expert_linear(rows, order, layers, DType::float32), Error);
  for (int i = 0; i < 3; ++i) layers.weights.push_back(random_input({2, kSize}, 3));
  EXPECT_THROW(expert_linear(rows, order, layers, DType::float32), Error);
  layers.weights.push_back(random_input({3, kSize}, 3));
  EXPECT_THROW(expert_linear(rows, order, layers, DType::float32), Error);
  layers.weights[3] = random_input({2, kSize}, 3);
  layers.biases = {random_input({2}, 4)};
  EXPECT_THROW(expert_linear(rows, order, layers, DType::float32), Error);
  layers.biases.clear();
  EXPECT_THROW(expert_linear(x, order, layers, DType::float32), Error);
  EXPECT_EQ(expert_linear(rows, order, layers, DType::float32).shape(), (Shape{kRows * kChosen, 2}));
}

}  // namespace
}  // namespace mica
