// Ops that do several things in one pass, against finite differences and against their steps; gradients that are added
// in place; parameters and gradients that lie side by side.

#include "tests/autograd/support.h"

#include "mica/autograd/activation.h"
#include "mica/autograd/adjacent.h"
#include "mica/autograd/attention.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/norm.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

using Inputs = std::vector<Tensor>;

TEST(Fused, DropoutAddsAResidual) {
  check_gradients(
      [](const Inputs& in) {
        manual_seed(7);
        return dropout_add(in[0], in[1], 0.4);
      },
      {random_input({50}, 1), random_input({50}, 2)});
  EXPECT_THROW(dropout_add(random_input({2}, 1), random_input({2}, 2), 1), Error);
}

TEST(Fused, TheNormOfADroppedSum) {
  const Inputs inputs{random_input({4, 6}, 1), random_input({4, 6}, 2), random_input({6}, 3), random_input({6}, 4)};
  for (const double p : {0.0, 0.4}) {
    // Of the norm alone, of the sum alone, and of both.
    for (const auto& [of_sum, of_norm] : {std::pair{0, 1}, {1, 0}, {1, 1}}) {
      const auto f = [&, p, of_sum = of_sum, of_norm = of_norm](const Inputs& in) {
        manual_seed(7);
        const NormedSum both = dropout_add_layer_norm(in[0], in[1], p, inputs[2], inputs[3], 1e-5);
        if (of_sum == 0) return both.normed;
        return of_norm == 0 ? both.sum : add(both.sum, both.normed);
      };
      check_gradients(f, of_norm == 0 ? Inputs{inputs[0], inputs[1]} : inputs);
    }
    if (p > 0) {
      check_gradients(
          [p](const Inputs& in) {
            manual_seed(7);
            return dropout_add_layer_norm(in[0], {}, p, in[1], {}, 1e-5, 1).normed;
          },
          {inputs[0], inputs[2]});
    }
  }
  EXPECT_THROW(dropout_add_layer_norm(inputs[0], {}, -0.1, inputs[2], inputs[3], 1e-5), Error);
}

TEST(Fused, TheNormOfADroppedSumHasTheBitsOfItsSteps) {
  manual_seed(3);
  const Tensor x = uniform({5, 8}, -1, 1), residual = uniform({5, 8}, -1, 1), weight = uniform({8}, -1, 1);
  std::vector<std::vector<float>> results;
  for (const bool fused : {true, false}) {
    for (const Tensor* each : {&x, &residual, &weight}) each->set_requires_grad().set_grad({});
    manual_seed(9);
    Tensor sum, normed;
    if (fused) {
      const NormedSum both = dropout_add_layer_norm(x, residual, 0.3, weight, {}, 1e-5);
      sum = both.sum;
      normed = both.normed;
    } else {
      sum = add(dropout(x, 0.3), residual);
      normed = layer_norm(sum, weight, {}, 1e-5);
    }
    backward({sum, normed}, {normed.detach(), sum.detach()});
    for (const Tensor& each : {sum.detach(), normed.detach(), x.grad(), residual.grad(), weight.grad()})
      results.push_back(each.to_vector<float>());
  }
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(results[i], results[i + 5]) << i;
}

TEST(Fused, AProductWithItsActivation) {
  for (const bool transposed : {false, true}) {
    check_gradients(
        [transposed](const Inputs& in) {
          const Tensor weight = transposed ? transpose(in[1], 0, 1) : in[1];
          return activated_linear(linear_and_activation(in[0], weight, in[2], Activation::gelu), in[3]);
        },
        {random_input({2, 3, 4}, 1), random_input(transposed ? Shape{4, 5} : Shape{5, 4}, 2), random_input({5}, 3),
         random_input({2, 5}, 4)});
  }
}

// Tensors of these shapes one behind the other.
Inputs side_by_side(const std::vector<Shape>& shapes, uint64_t seed) {
  int64_t total = 0, begin = 0;
  for (const Shape& shape : shapes) total += shape.numel();
  const Tensor whole = random_input({total}, seed).detach();
  Inputs result;
  for (const Shape& shape : shapes) {
    result.push_back(from_start_of(whole.slice(0, begin, begin + shape.numel()), shape));
    result.back().set_requires_grad();
    begin += shape.numel();
  }
  return result;
}

TEST(Fused, LayersWhoseParametersLieSideBySide) {
  const Tensor x = random_input({6, 4}, 1);
  const Inputs weights = side_by_side({{3, 4}, {2, 4}, {5, 4}}, 2), biases = side_by_side({{3}, {2}, {5}}, 3);
  EXPECT_TRUE(follows(weights[0], 12, weights[1]));
  Inputs inputs{x};
  inputs.insert(inputs.end(), weights.begin(), weights.end());
  inputs.insert(inputs.end(), biases.begin(), biases.end());
  const auto parts = [](const Inputs& in) { return linears(in[0], {{in[1], in[4]}, {in[2], in[5]}, {in[3], in[6]}}); };
  const Inputs made = parts(inputs);
  EXPECT_TRUE(follows(made[0], 3, made[1])) << "one product";
  check_gradients([&](const Inputs& in) { return cat(parts(in), 1); }, inputs);
  // One part that the loss does not depend on gets zeros.
  for (const Tensor& each : inputs) each.set_grad({});
  backward(sum(add(sum(parts(inputs)[0]), sum(parts(inputs)[2]))));
  EXPECT_EQ(weights[1].grad().to_vector<double>(), std::vector<double>(8, 0.0));
  // The same numbers where they lie apart.
  Inputs apart;
  for (const Tensor& each : inputs) {
    apart.push_back(each.detach().clone());
    apart.back().set_requires_grad();
  }
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(parts(apart)[i].detach().to_vector<double>(), parts(inputs)[i].detach().to_vector<double>());
}

TEST(Fused, AttentionOverSlicesOfOneProduct) {
  const SequenceOffsets offsets = SequenceOffsets::from_lengths({4, 3}, test_device());
  check_gradients(
      [&](const Inputs& in) {
        const std::vector<Tensor> parts = split(in[0], {12, 6, 6}, 1);
        const Tensor q = split_heads(parts[0], {7, 4, 3}), k = split_heads(parts[1], {7, 2, 3});
        return attention(q, k, split_heads(parts[2], {7, 2, 3}), offsets, offsets, {.scale = 0.5, .causal = true});
      },
      {random_input({7, 24}, 1)});
}

TEST(Fused, SlicesAreJoinedWhereTheyLie) {
  const Tensor whole = random_input({3, 10}, 1).detach();
  const Inputs parts{whole.slice(1, 0, 4), whole.slice(1, 4, 6), whole.slice(1, 6, 10)};
  EXPECT_EQ(join_slices(parts, {4, 2, 4}, 1, {3, 10}).raw_data(), whole.raw_data());
  const Inputs moved{parts[0], parts[1].clone(), parts[2]};
  const Tensor copied = join_slices(moved, {4, 2, 4}, 1, {3, 10});
  EXPECT_NE(copied.raw_data(), whole.raw_data());
  EXPECT_EQ(copied.to_vector<double>(), whole.to_vector<double>());
  // Neither the middle of wider rows nor another order is the whole.
  const Tensor wide = random_input({3, 12}, 1).detach();
  EXPECT_NE(join_slices({wide.slice(1, 0, 4), wide.slice(1, 4, 10)}, {4, 6}, 1, {3, 10}).raw_data(), wide.raw_data());
  const Tensor turned = join_slices({parts[2], parts[1], parts[0]}, {4, 2, 4}, 1, {3, 10});
  EXPECT_EQ(turned.slice(1, 0, 4).to_vector<double>(), parts[2].to_vector<double>());
  const Tensor zeros = join_slices({parts[0], {}, parts[2]}, {4, 2, 4}, 1, {3, 10});
  EXPECT_EQ(zeros.slice(1, 4, 6).to_vector<double>(), std::vector<double>(6, 0.0));
}

// x is used by a product and, later, by something else, whose gradient is there first.
TEST(Fused, AProductAddsToTheGradientThatIsThere) {
  const auto f = [](const Inputs& in) {
    const Tensor x = affine(in[0], 2);
    return add(linear(x, in[1]), affine(x, 3));
  };
  check_gradients(f, {random_input({4, 5}, 1), random_input({5, 5}, 2)});
  // Where someone else holds that gradient it is left alone.
  const Tensor input = random_input({4, 5}, 1), weight = random_input({5, 5}, 2);
  const Tensor x = affine(input, 1), held = random_input({4, 5}, 3).detach();
  const std::vector<double> values = held.to_vector<double>();
  backward({x, linear(x, weight)}, {held, random_input({4, 5}, 4).detach()});
  EXPECT_EQ(held.to_vector<double>(), values);
}

TEST(Fused, FlattenMergesWhatLiesDense) {
  const Tensor x = random_input({2, 3, 4}, 1).detach();
  EXPECT_EQ(x.flatten(0).shape(), (Shape{6, 4}));
  EXPECT_EQ(x.flatten(1).raw_data(), x.raw_data());
  const Tensor slice = x.slice(2, 1, 3);  // [2, 3, 2], rows 4 apart
  EXPECT_EQ(slice.flatten(0).raw_data(), slice.raw_data());
  EXPECT_EQ(slice.flatten(0).to_vector<double>(), slice.to_vector<double>());
  EXPECT_EQ(slice.flatten(1).to_vector<double>(), slice.to_vector<double>());
  EXPECT_EQ(x.slice(2, 0, 1).flatten(1).to_vector<double>(), x.slice(2, 0, 1).to_vector<double>());
  EXPECT_EQ(x.slice(0, 0, 0).flatten(0).shape(), (Shape{0, 4}));
  EXPECT_THROW(x.flatten(2), Error);
}

}  // namespace
}  // namespace mica
