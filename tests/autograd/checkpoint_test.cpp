#include "mica/autograd/checkpoint.h"

#include <algorithm>
#include <numeric>

#include "tests/autograd/support.h"

#include "mica/autograd/activation.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/random.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/tape.h"

namespace mica {
namespace {

struct Gradients {
  std::vector<double> x, weight, shared;
  double loss;
};

// Three layers with dropout and a term that all share, the result of an op before them.
Gradients run(bool checkpointing, const Tensor& x, const Tensor& weight, const Tensor& shared) {
  for (const Tensor* each : {&x, &weight, &shared}) each->set_grad({});
  manual_seed(3);
  const Checkpointing mode(checkpointing);
  const Tensor term = multiply(shared, shared);
  Tensor y = activate(x, Activation::tanh);
  for (int layer = 0; layer < 3; ++layer) {
    y = run_layer([=] {
      const Tensor inner = dropout(activate(linear(y, weight, term), Activation::gelu), 0.25);
      return add(y, multiply(inner, term));
    });
  }
  const Tensor loss = sum(multiply(y, y));
  backward(loss);
  return {x.grad().to_vector<double>(), weight.grad().to_vector<double>(), shared.grad().to_vector<double>(),
          loss.item<double>()};
}

TEST(Checkpoint, GivesTheBitsOfThePlainTape) {
  const Tensor x = random_input({4, 6}, 1), weight = random_input({6, 6}, 2), shared = random_input({6}, 3);
  const Gradients plain = run(false, x, weight, shared), again = run(true, x, weight, shared);
  EXPECT_EQ(again.loss, plain.loss);
  EXPECT_EQ(again.x, plain.x);
  EXPECT_EQ(again.weight, plain.weight);
  EXPECT_EQ(again.shared, plain.shared);
}

// Each leaf once, when its gradient is what it will be; the weight is used in three layers, `shared` before and in all.
TEST(Checkpoint, LeavesAreReadyWhenNothingIsAddedToThemAnyMore) {
  const Tensor first = random_input({4, 6}, 1), weight = random_input({6, 6}, 2), shared = random_input({6}, 3);
  const Tensor last = random_input({4, 6}, 4);
  for (const bool checkpointing : {false, true}) {
    SCOPED_TRACE(checkpointing);
    for (const Tensor* each : {&first, &weight, &shared, &last}) each->set_grad({});
    const Checkpointing mode(checkpointing);
    const Tensor term = multiply(shared, shared);
    Tensor y = first;
    for (int layer = 0; layer < 3; ++layer) {
      y = run_layer([=] { return add(y, multiply(activate(linear(y, weight), Activation::gelu), term)); });
    }
    const Tensor loss = sum(multiply(multiply(y, last), y));
    std::vector<const AutogradMeta*> order;
    std::vector<std::vector<double>> gradients;
    backward_watched(loss, [&](const AutogradMeta& leaf) {
      order.push_back(&leaf);
      gradients.push_back(leaf.grad.to_vector<double>());
    });
    ASSERT_EQ(order.size(), 4U);
    EXPECT_EQ(order[0], last.autograd_meta().get()) << "its gradient was whole before that of the layers began";
    EXPECT_EQ(order[3], shared.autograd_meta().get());
    for (const Tensor* each : {&first, &weight, &shared, &last}) {
      const auto at = std::find(order.begin(), order.end(), each->autograd_meta().get()) - order.begin();
      ASSERT_LT(at, 4);
      EXPECT_EQ(gradients[static_cast<size_t>(at)], each->grad().to_vector<double>());
    }
  }
}

TEST(Checkpoint, RandomNumbersGoOnAsWithout) {
  const Tensor x = random_input({50}, 1);
  const auto last = [&](bool on) {
    manual_seed(9);
    const Checkpointing mode(on);
    const Tensor y = run_layer([&] { return dropout(x, 0.5); });
    backward(sum(y));
    return dropout(x, 0.5).to_vector<double>();
  };
  EXPECT_EQ(last(true), last(false));
}

TEST(Checkpoint, RunsThePartAgainOnce) {
  const Tensor x = random_input({3}, 1);
  int runs = 0;
  const Tensor y = checkpoint([&] {
    ++runs;
    return multiply(x, x);
  });
  EXPECT_EQ(runs, 1);
  backward(sum(y));
  EXPECT_EQ(runs, 2);
  const std::vector<double> values = x.to_vector<double>(), gradient = x.grad().to_vector<double>();
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(gradient[i], 2 * values[i]);
}

TEST(Checkpoint, OfAPartThatHandsOnItsInput) {
  const Tensor x = random_input({3}, 1);
  const Tensor before = multiply(x, x);
  backward(sum(checkpoint([&] { return before; })));
  const std::vector<double> values = x.to_vector<double>(), gradient = x.grad().to_vector<double>();
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(gradient[i], 2 * values[i]);
}

TEST(Checkpoint, IsThePartWhereNothingIsTracked) {
  const Tensor x = random_input({3}, 1);
  {
    const NoGrad no_grad;
    EXPECT_FALSE(checkpoint([&] { return multiply(x, x); }).requires_grad());
  }
  const Tensor constant = x.detach();
  EXPECT_FALSE(checkpoint([&] { return multiply(constant, constant); }).requires_grad());
}

}  // namespace
}  // namespace mica
