#include "mica/autograd/tape.h"

#include "tests/autograd/support.h"

#include "mica/autograd/activation.h"
#include "mica/autograd/linear.h"
#include "mica/base/error.h"

namespace mica {
namespace {

TEST(Tape, SumsTheGradientsOfAllUses) {
  const Tensor x = random_input({3}, 1);
  backward(sum(add(multiply(x, x), x)));  // d/dx (x^2 + x) = 2x + 1
  const std::vector<double> values = x.to_vector<double>();
  const std::vector<double> gradient = x.grad().to_vector<double>();
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(gradient[i], 2 * values[i] + 1, 1e-12);
}

TEST(Tape, AccumulatesOverCallsUntilCleared) {
  const Tensor x = random_input({2}, 1);
  backward(sum(x));
  backward(sum(x));
  EXPECT_EQ(x.grad().to_vector<double>(), (std::vector<double>{2, 2}));
  x.set_grad({});
  backward(sum(x));
  EXPECT_EQ(x.grad().to_vector<double>(), (std::vector<double>{1, 1}));
}

TEST(Tape, RecordsNothingUnderNoGrad) {
  const Tensor x = random_input({2}, 1);
  const NoGrad no_grad;
  EXPECT_FALSE(multiply(x, x).requires_grad());
}

TEST(Tape, RefusesWhatWouldLoseAGradient) {
  const Tensor x = random_input({2, 2}, 1);
  EXPECT_THROW(x.reshape({4}), Error);
  EXPECT_THROW(x.to(DType::float32), Error);
  EXPECT_THROW(refuse_grad("an op", {&x}), Error);
  EXPECT_THROW(backward(x.detach()), Error);
  EXPECT_THROW(backward(multiply(x, x)), Error) << "more than one element without a gradient";
}

TEST(Tape, RefusesASecondPass) {
  const Tensor x = random_input({2}, 1);
  const Tensor y = sum(multiply(x, x));
  backward(y);
  EXPECT_THROW(backward(y), Error);
}

TEST(Tape, SurvivesDeepGraphs) {
  const Tensor x = random_input({1}, 1);
  Tensor y = x;
  for (int i = 0; i < 20000; ++i) y = affine(y, 1, 0.001);
  backward(sum(y));
  EXPECT_EQ(x.grad().item<double>(), 1);
}

// Saved tensors must not keep their own node alive.
TEST(Tape, FreesTheGraph) {
  const Tensor x = random_input({4, 4}, 1);
  std::weak_ptr<Storage> watched;
  {
    const Tensor y = softmax(activate(linear(x, x), Activation::gelu));
    watched = y.storage();
  }
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace mica
