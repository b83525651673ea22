// Linear layers, with their weights as they are and packed.

#include "mica/models/modules/linear.h"

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/kernels/cpu/backend.h"

namespace mica {
namespace {

Tensor random(const Shape& shape, uint64_t seed) {
  manual_seed(seed);
  return normal(shape, 0, 1);
}

Linear layer(int64_t in, int64_t out, uint64_t seed) {
  return {random({out, in}, seed), random({out}, seed + 1), BuildOptions{}};
}

std::vector<float> values(const std::vector<Tensor>& tensors) {
  std::vector<float> all;
  for (const Tensor& tensor : tensors) {
    const std::vector<float> one = tensor.contiguous().to_vector<float>();
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

class PackedLinear : public ::testing::Test {
 protected:
  static int64_t memory_used() { return dynamic_cast<CpuMemory&>(backend(Device()).memory()).used(); }
  const NoGrad no_grad_;
};

// The first rows go through the weights as they are, with the bits that the packed ones give.
TEST_F(PackedLinear, FirstRowsNeedNoPackedWeights) {
  const Linear linear = layer(96, 200, 1);
  const Tensor x = random({9, 96}, 3);
  const int64_t before = memory_used();
  const Tensor first = linear(x, {.activation = Activation::gelu});
  EXPECT_LT(memory_used() - before, 96 * 200 * 4);
  const Tensor second = linear(x, {.activation = Activation::gelu});
  EXPECT_GE(memory_used() - before, 96 * 200 * 4);
  EXPECT_EQ(values({first}), values({second}));
}

// Steps of decoding never make a second copy of the weights.
TEST_F(PackedLinear, FewRowsNeverPack) {
  const Linear linear = layer(96, 200, 1);
  const Tensor x = random({8, 96}, 3);
  const int64_t before = memory_used();
  for (int i = 0; i < 3; ++i) linear(x);
  EXPECT_LT(memory_used() - before, 96 * 200 * 4);
}

// Weights of 16 bits stay as they are, for any number of rows.
TEST_F(PackedLinear, NarrowWeightsNeverPack) {
  for (const DType dtype : {DType::bfloat16, DType::float16}) {
    const Tensor weight = random({200, 96}, 1).to(dtype);
    const DType product = dtype == DType::bfloat16 ? DType::bfloat16 : DType::float32;
    const Linear linear(weight, {}, {.dtype = product}), wide(weight.to(DType::float32), {}, {.dtype = product});
    const Tensor x = random({70, 96}, 3);
    const int64_t before = memory_used();
    Tensor y;
    for (int i = 0; i < 3; ++i) y = linear(x);
    EXPECT_LT(memory_used() - before, 96 * 200 * 2 + 70 * 200 * 4);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(values({y}), values({wide(x)}));
  }
}

// But for those with columns side by side, once many steps have read them slowly.
TEST_F(PackedLinear, NarrowColumnsSideBySideArePackedInTheEnd) {
  if (backend(Device()).linear().packed_dtype(DType::bfloat16) != DType::bfloat16) {
    GTEST_SKIP() << "this machine widens bfloat16";
  }
  const Tensor weight = random({96, 200}, 1).to(DType::bfloat16).transpose(0, 1);
  const Linear linear(weight, {}, {.dtype = DType::bfloat16});
  const Tensor x = random({2, 96}, 3);
  const int64_t before = memory_used();
  const Tensor first = linear(x);
  for (int i = 0; i < 30; ++i) linear(x);
  EXPECT_LT(memory_used() - before, 96 * 200 * 2);
  for (int i = 0; i < 3; ++i) linear(x);
  EXPECT_GE(memory_used() - before, 96 * 200 * 2);
  EXPECT_EQ(values({linear(x)}), values({first}));
}

TEST_F(PackedLinear, GroupsAndChainsHaveTheSameBitsBothWays) {
  const Linear a = layer(40, 56, 1), b = layer(40, 24, 5), up = layer(40, 130, 7), down = layer(130, 40, 9);
  const LinearGroup group({a, b}, BuildOptions{});
  const Tensor x = random({11, 40}, 11);
  const auto both = [&] {
    const auto [ya, yb, none] = group(x);
    EXPECT_FALSE(none.defined());
    return values({ya, yb});
  };
  EXPECT_EQ(both(), both());
  const auto mlp = [&] { return chain(x, {{&up, {.activation = Activation::gelu}}, {&down, {.residual = x}}}); };
  const Tensor first = mlp(), second = mlp();
  EXPECT_EQ(values({first}), values({second}));
}

TEST_F(PackedLinear, FollowsAWeightThatChanges) {
  const Linear linear = layer(32, 48, 1);
  const Tensor x = random({10, 32}, 3);
  for (int i = 0; i < 3; ++i) linear(x);
  const Tensor other = random({48, 32}, 17);
  linear.weight().copy_(other);
  const Tensor changed = linear(x), packed = linear(x);
  EXPECT_EQ(values({changed}), values({packed}));
  EXPECT_EQ(values({changed}), values({Linear(other, linear.bias(), BuildOptions{})(x)}));
}

}  // namespace
}  // namespace mica
