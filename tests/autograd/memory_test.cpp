// What the tape keeps, counted in bytes, and that nothing changes by keeping less.

#include "tests/autograd/support.h"
#include <gtest/gtest.h>

#include "mica/autograd/activation.h"
#include "mica/autograd/embedding.h"
#include "mica/autograd/linear.h"
#include "mica/kernels/backend.h"
#include "mica/kernels/cpu/backend.h"

namespace mica {
namespace {

CpuMemory& memory() {
  return dynamic_cast<CpuMemory&>(backend(Device{}).memory());
}

Tensor random(const Shape& shape, uint64_t seed) {
  manual_seed(seed);
  return uniform(shape, -1, 1).set_requires_grad(true);
}

TEST(TapeMemory, AnActivatedProductHasTheGradientsOfBothOps) {
  for (const Activation activation : {Activation::none, Activation::gelu, Activation::relu, Activation::tanh}) {
    check_gradients(
        [&](const std::vector<Tensor>& in) {
          return activated_linear({in[0], {}, activation}, in[1], in[2]);
        },
        {random_input({2, 3, 4}, 1), random_input({5, 4}, 2), random_input({5}, 3)});
  }
  const Tensor x = random({30, 20}, 1), weight = random({7, 20}, 2), bias = random({7}, 3);
  std::vector<std::vector<float>> results;
  for (const bool joined : {false, true}) {
    for (const Tensor* each : {&x, &weight, &bias}) each->set_grad({});
    const Tensor y = joined ? activated_linear({x, {}, Activation::gelu}, weight, bias)
                            : linear(activate(x, Activation::gelu), weight, bias);
    backward(y, y.detach());
    for (const Tensor& each : {y.detach(), x.grad(), weight.grad(), bias.grad()})
      results.push_back(each.to_vector<float>());
  }
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(results[i], results[i + 4]) << i;
}

TEST(TapeMemory, AnActivatedProductKeepsItsInputAlone) {
  constexpr int64_t kRows = 512, kInner = 256, kBytes = kRows * kInner * 4;
  const Tensor x = random({kRows, kInner}, 1), weight = random({2, kInner}, 2);
  for (const bool joined : {false, true}) {
    const int64_t before = memory().used();
    const Tensor y =
        joined ? activated_linear({x, {}, Activation::gelu}, weight) : linear(activate(x, Activation::gelu), weight);
    const int64_t kept = memory().used() - before;
    if (joined) {
      EXPECT_LT(kept, kBytes / 8);
    } else {
      EXPECT_GT(kept, kBytes);
    }
  }
}

TEST(TapeMemory, ATableThatHasAGradientGetsTheRowsAlone) {
  constexpr int64_t kRows = 4000, kSize = 64, kBytes = kRows * kSize * 4;
  const Tensor table = random({kRows, kSize}, 1);
  const Tensor ids = Tensor::from<int64_t>({5, 9, 5, 0, 3999, 9, 9});
  const Tensor first = random({kRows, kSize}, 2).detach(), dy = random({7, kSize}, 3).detach();
  // The sum of the rows' parts is added, as if they were made apart.
  table.set_grad({});
  backward(embedding(table, ids, 0), dy);
  const Tensor alone = table.grad();
  std::vector<float> wanted = first.to_vector<float>();
  const std::vector<float> more = alone.to_vector<float>();
  for (size_t i = 0; i < wanted.size(); ++i) wanted[i] += more[i];
  table.set_grad(first.clone());
  const Tensor y = embedding(table, ids, 0);
  memory().watch();
  const int64_t before = memory().used();
  backward(y, dy);
  EXPECT_LT(memory().most_used() - before, kBytes / 2);
  EXPECT_EQ(table.grad().to_vector<float>(), wanted);
  // A gradient that somebody else holds stays what it is.
  const Tensor held = first.clone();
  table.set_grad(held);
  backward(embedding(table, ids, 0), dy);
  EXPECT_EQ(held.to_vector<float>(), first.to_vector<float>());
  EXPECT_EQ(table.grad().to_vector<float>(), wanted);
}

}  // namespace
}  // namespace mica
