// Every differentiable op against finite differences in float64.

#include "tests/autograd/support.h"

#include "mica/autograd/activation.h"
#include "mica/autograd/attention.h"
#include "mica/autograd/convolution.h"
#include "mica/autograd/embedding.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/loss.h"
#include "mica/autograd/norm.h"
#include "mica/autograd/rotary.h"
#include "mica/autograd/scan.h"
#include "mica/autograd/segments.h"
#include "mica/autograd/shape.h"
#include "mica/base/error.h"

namespace mica {
namespace {

using Inputs = std::vector<Tensor>;

TEST(Gradients, Linear) {
  check_gradients([](const Inputs& in) { return linear(in[0], in[1], in[2]); },
                  {random_input({2, 3, 5}, 1), random_input({4, 5}, 2), random_input({4}, 3)});
  check_gradients([](const Inputs& in) { return linear(in[0], in[1]); },
                  {random_input({3, 5}, 1), random_input({1, 5}, 2)});
}

TEST(Gradients, MatmulInAllFourOrientations) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const Shape a = ta ? Shape{2, 4, 3} : Shape{2, 3, 4};
      const Shape b = tb ? Shape{2, 5, 4} : Shape{2, 4, 5};
      check_gradients([=](const Inputs& in) { return matmul(in[0], in[1], ta, tb); },
                      {random_input(a, 1), random_input(b, 2)});
    }
  }
}

TEST(Gradients, Activations) {
  for (int i = 1; i <= static_cast<int>(kLastActivation); ++i) {
    const auto activation = static_cast<Activation>(i);
    SCOPED_TRACE(std::string(name(activation)));
    check_gradients([=](const Inputs& in) { return activate(affine(in[0], 3), activation); }, {random_input({23}, 4)});
  }
}

TEST(Gradients, LayerNormWithAndWithoutResidual) {
  check_gradients([](const Inputs& in) { return layer_norm(in[0], in[1], in[2], 1e-5); },
                  {random_input({3, 7}, 1), random_input({7}, 2), random_input({7}, 3)});
  check_gradients([](const Inputs& in) { return add_layer_norm(in[0], in[1], in[2], in[3], 1e-5); },
                  {random_input({2, 2, 7}, 1), random_input({2, 2, 7}, 4), random_input({7}, 2), random_input({7}, 3)});
  check_gradients([](const Inputs& in) { return layer_norm(in[0], in[1], {}, 1e-5); },
                  {random_input({3, 7}, 1), random_input({7}, 2)});
}

TEST(Gradients, LayerNormWithoutWeightOrWithAnOffset) {
  check_gradients([](const Inputs& in) { return layer_norm(in[0], {}, {}, 1e-5); }, {random_input({3, 7}, 1)});
  check_gradients([](const Inputs& in) { return layer_norm(in[0], {}, in[1], 1e-5); },
                  {random_input({3, 7}, 1), random_input({7}, 2)});
  check_gradients([](const Inputs& in) { return layer_norm(in[0], in[1], in[2], 1e-5, 1); },
                  {random_input({3, 7}, 1), random_input({7}, 2), random_input({7}, 3)});
  const Tensor x = random_input({3, 7}, 1).detach(), weight = random_input({7}, 2).detach();
  EXPECT_EQ(layer_norm(x, weight, {}, 1e-5, 1).to_vector<double>(),
            layer_norm(x, affine(weight, 1, 1), {}, 1e-5).to_vector<double>());
  EXPECT_EQ(layer_norm(x, {}, {}, 1e-5).to_vector<double>(),
            layer_norm(x, Tensor::ones({7}, DType::float64, test_device()), {}, 1e-5).to_vector<double>());
}

TEST(Gradients, RmsNorm) {
  for (const double offset : {0.0, 1.0}) {
    check_gradients([=](const Inputs& in) { return rms_norm(in[0], in[1], 1e-3, offset); },
                    {random_input({3, 7}, 1), random_input({7}, 2)});
    check_gradients([=](const Inputs& in) { return rms_norm(in[0], {}, 1e-3, offset); }, {random_input({2, 3, 5}, 1)});
  }
  check_gradients([](const Inputs& in) { return rms_norm(in[0], in[1], 1e-3); },
                  {random_input({2, 2, 2, 5}, 1), random_input({5}, 2)});
  check_gradients([](const Inputs& in) { return rms_norm(in[0], in[1], 1e-3); },
                  {random_input({5}, 1), random_input({5}, 2)});
  // The heads of a slice of wider rows, and vectors that aren't dense.
  check_gradients(
      [](const Inputs& in) {
        return rms_norm(split_heads(slice(in[0], 1, 2, 8), Shape{3, 2, 3}), in[1], 1e-3, 1);
      },
      {random_input({3, 11}, 1), random_input({3}, 2)});
  check_gradients([](const Inputs& in) { return rms_norm(transpose(in[0], 0, 1), in[1], 1e-3); },
                  {random_input({4, 6}, 1), random_input({4}, 2)});
  EXPECT_THROW(rms_norm(random_input({3, 7}, 1), random_input({6}, 2), 1e-3), Error);
}

TEST(Gradients, SegmentReduce) {
  const SequenceOffsets offsets = SequenceOffsets::from_lengths({2, 0, 3, 1}, test_device());
  const Tensor weights = Tensor::from(std::vector<double>{0.5, -2, 1, 0.25, 3, 1}).to(test_device());
  const auto reduced = [&](ReduceOp op, const Tensor& factors) {
    return
        [&offsets, op, factors](const std::vector<Tensor>& in) { return segment_reduce(op, in[0], offsets, factors); };
  };
  for (const ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::max}) {
    check_gradients(reduced(op, {}), {random_input({6, 3}, 91)});
  }
  check_gradients(reduced(ReduceOp::sum, weights), {random_input({6, 3}, 92)});
  const Tensor x = random_input({6, 3}, 93);
  EXPECT_EQ(segment_reduce(ReduceOp::max, x, offsets).detach().select(0, 1).to_vector<double>(),
            std::vector<double>(3, 0.0));
  EXPECT_THROW(segment_reduce(ReduceOp::min, x, offsets), Error);
  EXPECT_THROW(segment_reduce(ReduceOp::mean, x, offsets, weights), Error);
  EXPECT_THROW(segment_reduce(ReduceOp::sum, random_input({5, 3}, 94), offsets), Error);
}

TEST(Gradients, Convolution) {
  const SequenceOffsets texts = SequenceOffsets::from_lengths({2, 0, 3, 1}, test_device());
  struct Case {
    int64_t channels, out, groups, kernel_size, before;
  };
  for (const auto& [channels, out, groups, kernel_size, before] :
       {Case{2, 3, 1, 3, 1}, Case{4, 2, 2, 2, 1}, Case{3, 3, 3, 4, 3}, Case{2, 4, 2, 3, 0}, Case{3, 3, 3, 3, 1}}) {
    const Tensor x = random_input({6, channels}, 95), weight = random_input({out, channels / groups, kernel_size}, 96),
                 bias = random_input({out}, 97);
    const auto convolved = [&, before = before](const Inputs& in) {
      return convolution(in[0], texts, in[1], in.size() > 2 ? in[2] : Tensor(), before);
    };
    check_gradients(convolved, {x, weight, bias});
    check_gradients(convolved, {x, weight});
    // By its definition.
    const NoGrad no_grad;
    const std::vector<double> values = x.to_vector<double>(), filters = weight.to_vector<double>();
    std::vector<double> want = bias.to_vector<double>();
    const std::vector<int64_t> text{0, 0, 2, 2, 2, 3};
    for (int64_t row = 1; row < 6; ++row) want.insert(want.end(), want.begin(), want.begin() + out);
    const int64_t part = channels / groups;
    for (int64_t row = 0; row < 6; ++row) {
      for (int64_t o = 0; o < out; ++o) {
        for (int64_t i = 0; i < part; ++i) {
          for (int64_t k = 0; k < kernel_size; ++k) {
            const int64_t at = row + k - before, channel = o / (out / groups) * part + i;
            if (at < 0 || at >= 6 || text[static_cast<size_t>(at)] != text[static_cast<size_t>(row)]) continue;
            want[static_cast<size_t>(row * out + o)] += filters[static_cast<size_t>((o * part + i) * kernel_size + k)] *
                                                        values[static_cast<size_t>(at * channels + channel)];
          }
        }
      }
    }
    const std::vector<double> got = convolved({x, weight, bias}).to_vector<double>();
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-14);
  }
  const Tensor x = random_input({6, 2}, 95), weight = random_input({2, 2, 3}, 96);
  EXPECT_THROW(convolution(x, texts, weight, {}, 3), Error);
  EXPECT_THROW(convolution(x, texts, weight, random_input({3}, 97), 1), Error);
  EXPECT_THROW(convolution(x, texts, random_input({3, 1, 3}, 96), {}, 1), Error);
  EXPECT_THROW(convolution(random_input({5, 2}, 95), texts, weight, {}, 1), Error);
}

TEST(Gradients, LinearRecurrence) {
  const SequenceOffsets texts = SequenceOffsets::from_lengths({2, 0, 4}, test_device());
  const Tensor a = random_input({6, 3}, 98), b = random_input({6, 3}, 99), initial = random_input({3, 3}, 100);
  const auto states = [&](const Inputs& in) {
    return linear_recurrence(in[0], in[1], texts, in.size() > 2 ? in[2] : Tensor());
  };
  check_gradients(states, {a, b, initial});
  check_gradients(states, {a, b});
  EXPECT_THROW(linear_recurrence(a, random_input({6, 2}, 99), texts), Error);
  EXPECT_THROW(linear_recurrence(a, b, texts, random_input({2, 3}, 100)), Error);
  EXPECT_THROW(linear_recurrence(random_input({5, 3}, 98), random_input({5, 3}, 99), texts), Error);
}

TEST(Gradients, Rotary) {
  const Tensor cos = random_input({3, 2}, 8).detach(), sin = random_input({3, 2}, 9).detach();
  for (const RotaryLayout layout : {RotaryLayout::half_split, RotaryLayout::interleaved}) {
    for (const int64_t offset : {0, 1, 3}) {
      check_gradients([=](const Inputs& in) { return rotary(in[0], cos, sin, layout, offset); },
                      {random_input({3, 2, 7}, 1)});
    }
    check_gradients(
        [=](const Inputs& in) {
          return transpose(rotary(split_heads(slice(in[0], 1, 1, 9), Shape{3, 2, 4}), cos, sin, layout), 1, 2);
        },
        {random_input({3, 11}, 1)});
  }
  const Tensor x = random_input({3, 2, 7}, 1);
  EXPECT_THROW(rotary(x, cos, sin, RotaryLayout::half_split, 4), Error) << "beyond the head";
  EXPECT_THROW(rotary(x, cos, sin, RotaryLayout::half_split, -1), Error);
  EXPECT_THROW(rotary(x, cos.to(DType::float32), sin.to(DType::float32), RotaryLayout::half_split), Error);
  EXPECT_THROW(rotary(x, random_input({3, 2}, 8), sin, RotaryLayout::half_split), Error) << "a gradient would be lost";
}

TEST(Gradients, ActivateAndMultiply) {
  for (const Activation activation : {Activation::none, Activation::silu, Activation::gelu_tanh}) {
    check_gradients([=](const Inputs& in) { return activate_and_multiply(in[0], in[1], activation); },
                    {random_input({2, 3, 5}, 1), random_input({2, 3, 5}, 2)});
    check_gradients([=](const Inputs& in) { return activate_and_multiply(in[0], activation); },
                    {random_input({2, 3, 10}, 1)});
    check_gradients(
        [=](const Inputs& in) {
          const std::vector<Tensor> parts = split(in[0], {5, 5, 1}, 1);
          return activate_and_multiply(parts[1], parts[0], activation);
        },
        {random_input({3, 11}, 1)});
    check_gradients([=](const Inputs& in) { return activate_and_multiply(transpose(in[0], 0, 1), in[1], activation); },
                    {random_input({4, 3}, 1), random_input({3, 4}, 2)});
  }
  const Tensor both = random_input({3, 8}, 1).detach();
  EXPECT_EQ(activate_and_multiply(both, Activation::silu).to_vector<double>(),
            activate_and_multiply(both.slice(1, 0, 4), both.slice(1, 4, 8), Activation::silu).to_vector<double>());
  EXPECT_THROW(activate_and_multiply(both.slice(1, 0, 7), Activation::silu), Error);
  EXPECT_THROW(activate_and_multiply(both, both.slice(1, 0, 4), Activation::silu), Error);
}

TEST(Gradients, ClampedSwiglu) {
  // The inputs reach 3: both clamps bite.
  const auto apart = [](const Inputs& in) { return clamped_swiglu(affine(in[0], 3), affine(in[1], 3), 2, 1.702); };
  check_gradients(apart, {random_input({2, 3, 5}, 1), random_input({2, 3, 5}, 2)});
  const auto together = [](const Inputs& in) { return clamped_swiglu(affine(in[0], 3), 2, 1.702); };
  check_gradients(together, {random_input({3, 10}, 1)});
  check_gradients(together, {random_input({2, 2, 6}, 1)});
  check_gradients(
      [](const Inputs& in) {
        const Tensor pairs = reshape(affine(in[0], 3), Shape{3, 5, 2});
        return clamped_swiglu(select(pairs, 2, 0), select(pairs, 2, 1), 2, 1.702);
      },
      {random_input({3, 10}, 1)});
  const Tensor pairs = Tensor::from(std::vector<double>{9, -9, 1, 0.5}, {1, 4}, test_device());
  const std::vector<double> y = clamped_swiglu(pairs, 7, 1.702).to_vector<double>();
  EXPECT_NEAR(y[0], (-7 + 1) * 7 / (1 + std::exp(-1.702 * 7)), 1e-14);
  EXPECT_NEAR(y[1], 1.5 / (1 + std::exp(-1.702)), 1e-15);
  EXPECT_THROW(clamped_swiglu(pairs.slice(1, 0, 3), 7, 1.702), Error);
  EXPECT_THROW(clamped_swiglu(pairs, 0, 1.702), Error);
}

TEST(Gradients, SoftcapAndClamp) {
  check_gradients([](const Inputs& in) { return softcap(affine(in[0], 9), 5); }, {random_input({3, 7}, 1)});
  check_gradients([](const Inputs& in) { return softcap(transpose(in[0], 0, 1), 0.5); }, {random_input({3, 2}, 1)});
  check_gradients([](const Inputs& in) { return clamp(in[0], -0.5, 0.25); }, {random_input({4, 7}, 1)});
  check_gradients([](const Inputs& in) { return clamp(transpose(in[0], 0, 1), -INFINITY, 0.25); },
                  {random_input({4, 3}, 1)});
  const Tensor x = Tensor::from(std::vector<double>{-2, -1, 0, 1, 2, NAN}).to(test_device());
  const std::vector<double> y = clamp(x, -1, 1).to_vector<double>();
  EXPECT_EQ(std::vector<double>(y.begin(), y.begin() + 5), (std::vector<double>{-1, -1, 0, 1, 1}));
  EXPECT_TRUE(std::isnan(y[5]));
  x.set_requires_grad();
  backward(sum(clamp(x, -1, 1)));
  EXPECT_EQ(x.grad().to_vector<double>(), (std::vector<double>{0, 1, 1, 1, 0, 0})) << "the bounds themselves pass";
  EXPECT_THROW(clamp(x, 1, -1), Error);
  EXPECT_THROW(softcap(x, 0), Error);
}

TEST(Gradients, EmbeddingSum) {
  const Tensor ids = Tensor::from(std::vector<int64_t>{1, 4, 1, 0}, {2, 2});
  const Tensor types = Tensor::from(std::vector<int64_t>{0, 1, 1, 0}, {2, 2});
  check_gradients(
      [=](const Inputs& in) {
        return embedding_sum({{in[0], ids, -1}, {in[1], types, -1}});
      },
      {random_input({5, 3}, 1), random_input({2, 3}, 2)});
}

TEST(Gradients, AnEmbeddingsPaddingRowGetsNone) {
  const Tensor table = random_input({4, 2}, 1);
  backward(sum(embedding(table, Tensor::from(std::vector<int64_t>{0, 1, 1, 3}), 1)));
  const std::vector<double> gradient = table.grad().to_vector<double>();
  EXPECT_EQ(gradient, (std::vector<double>{1, 1, 0, 0, 0, 0, 1, 1}));
}

TEST(Gradients, Losses) {
  const Tensor labels = Tensor::from(std::vector<int64_t>{2, -100, 0, 3});
  check_gradients([=](const Inputs& in) { return cross_entropy(in[0], labels); }, {random_input({4, 5}, 1)});
  const Tensor targets = random_input({4, 5}, 2).detach();
  check_gradients([=](const Inputs& in) { return mse_loss(in[0], targets); }, {random_input({4, 5}, 1)});
  check_gradients([=](const Inputs& in) { return bce_with_logits(in[0], targets); }, {random_input({4, 5}, 1)});
}

TEST(Gradients, ElementwiseWithBroadcasting) {
  for (const auto& f : {add, subtract, multiply}) {
    check_gradients([&](const Inputs& in) { return f(in[0], in[1]); },
                    {random_input({2, 3, 4}, 1), random_input({3, 1}, 2)});
    check_gradients([&](const Inputs& in) { return f(in[0], in[1]); }, {random_input({4}, 1), random_input({2, 4}, 2)});
  }
  check_gradients([](const Inputs& in) { return divide(in[0], affine(in[1], 1, 3)); },
                  {random_input({2, 3}, 1), random_input({3}, 2)});
}

TEST(Gradients, ReductionsAndSoftmax) {
  check_gradients([](const Inputs& in) { return sum(in[0], 1); }, {random_input({2, 3, 4}, 1)});
  check_gradients([](const Inputs& in) { return mean(in[0], -1); }, {random_input({2, 3, 4}, 1)});
  check_gradients([](const Inputs& in) { return mean(in[0]); }, {random_input({2, 3}, 1)});
  check_gradients([](const Inputs& in) { return softmax(in[0]); }, {random_input({2, 5}, 1)});
  check_gradients([](const Inputs& in) { return log_softmax(in[0]); }, {random_input({2, 5}, 1)});
}

TEST(Gradients, Shapes) {
  check_gradients([](const Inputs& in) { return reshape(in[0], Shape{3, 4}); }, {random_input({2, 6}, 1)});
  check_gradients([](const Inputs& in) { return transpose(in[0], 0, 2); }, {random_input({2, 3, 4}, 1)});
  check_gradients([](const Inputs& in) { return slice(in[0], 1, 1, 3); }, {random_input({2, 4}, 1)});
  check_gradients([](const Inputs& in) { return select(in[0], -1, -2); }, {random_input({2, 4}, 1)});
  check_gradients([](const Inputs& in) { return split_heads(in[0], Shape{2, 2, 3}); }, {random_input({2, 6}, 1)});
  check_gradients([](const Inputs& in) { return expand(in[0], Shape{2, 4, 3, 2}); }, {random_input({4, 1, 2}, 1)});
  check_gradients([](const Inputs& in) { return sum_to(in[0], Shape{3, 1}); }, {random_input({2, 3, 4}, 1)});
  for (const int dim : {0, 1, -1}) {
    check_gradients(
        [=](const Inputs& in) {
          return cat({in[0], in[1], in[0]}, dim);
        },
        {random_input({2, 3, 2}, 1), random_input({2, 3, 2}, 2)});
  }
  check_gradients(
      [](const Inputs& in) {
        return cat({in[0], in[1]}, 1);
      },
      {random_input({2, 3}, 1), random_input({2, 1}, 2)});
  check_gradients(
      [](const Inputs& in) {  // one part used twice, one not at all
        const std::vector<Tensor> parts = split(in[0], {1, 2, 0, 2}, 1);
        return cat({parts[3], multiply(parts[0], parts[3])}, 0);
      },
      {random_input({2, 5}, 1)});
  const Tensor index = Tensor::from(std::vector<int64_t>{2, 0, 2});
  check_gradients([=](const Inputs& in) { return index_select(in[0], index); }, {random_input({3, 2, 2}, 1)});
}

TEST(Shapes, CatAndSplitMoveElements) {
  const Tensor a = Tensor::from(std::vector<int64_t>{1, 2, 3, 4}, {2, 2});
  const Tensor b = Tensor::from(std::vector<int64_t>{5, 6}, {2, 1});
  const Tensor both = cat({a, b}, 1);
  EXPECT_EQ(both.shape(), (Shape{2, 3}));
  EXPECT_EQ(both.to_vector<int64_t>(), (std::vector<int64_t>{1, 2, 5, 3, 4, 6}));
  EXPECT_EQ(cat({a, a.slice(0, 1, 2)}, 0).to_vector<int64_t>(), (std::vector<int64_t>{1, 2, 3, 4, 3, 4}));
  const std::vector<Tensor> parts = split(both, {2, 1}, -1);
  EXPECT_EQ(parts[0].to_vector<int64_t>(), a.to_vector<int64_t>());
  EXPECT_EQ(parts[1].to_vector<int64_t>(), b.to_vector<int64_t>());
  EXPECT_EQ(parts[0].storage(), both.storage()) << "a copy";
  EXPECT_EQ(expand(b, Shape{2, 3}).to_vector<int64_t>(), (std::vector<int64_t>{5, 5, 5, 6, 6, 6}));
  EXPECT_THROW(cat({}, 0), Error);
  EXPECT_THROW(cat({a, b}, 0), Error);
  EXPECT_THROW(cat({a, b.reshape({2})}, 1), Error);
  EXPECT_THROW(cat({a, b.to(DType::int32)}, 1), Error);
  EXPECT_THROW(split(both, {2, 2}, 1), Error);
  EXPECT_THROW(split(both, {4, -1}, 1), Error);
  EXPECT_THROW(expand(a, Shape{2, 3}), Error);
}

// Ragged sequences, fewer key heads than query heads, mask, bias: everything at once and one by one.
TEST(Gradients, Attention) {
  const SequenceOffsets offsets = SequenceOffsets::from_lengths({3, 1, 4}, test_device());
  const Tensor mask = Tensor::from(std::vector<uint8_t>{1, 0, 1, 1, 1, 1, 1, 0}).to(test_device()).to(DType::boolean);
  for (const bool causal : {false, true}) {
    for (const bool masked : {false, true}) {
      const auto f = [&](const Inputs& in) {
        return attention(in[0], in[1], in[2], offsets, offsets,
                         {.scale = 0.7, .causal = causal, .key_mask = masked ? mask : Tensor(), .bias = in[3]});
      };
      check_gradients(f, {random_input({8, 4, 3}, 1), random_input({8, 2, 3}, 2), random_input({8, 2, 3}, 3),
                          random_input({1, 4, 4, 4}, 4)});
    }
  }
}

TEST(Gradients, AttentionAcrossSequencesOfOtherLengths) {
  const SequenceOffsets queries = SequenceOffsets::from_lengths({2, 3}, test_device());
  const SequenceOffsets keys = SequenceOffsets::from_lengths({4, 1}, test_device());
  check_gradients([&](const Inputs& in) { return attention(in[0], in[1], in[2], queries, keys, {.scale = 0.5}); },
                  {random_input({5, 2, 3}, 1), random_input({5, 2, 3}, 2), random_input({5, 2, 3}, 3)});
}

TEST(Gradients, AttentionAcrossWithBiasAndValuesOfAnotherSize) {
  const SequenceOffsets queries = SequenceOffsets::from_lengths({2, 3}, test_device());
  const SequenceOffsets keys = SequenceOffsets::from_lengths({4, 1}, test_device());
  check_gradients(
      [&](const Inputs& in) { return attention(in[0], in[1], in[2], queries, keys, {.scale = 0.5, .bias = in[3]}); },
      {random_input({5, 4, 3}, 1), random_input({5, 2, 3}, 2), random_input({5, 2, 5}, 3),
       random_input({1, 4, 3, 4}, 4)});
}

TEST(Gradients, AttentionWithWindowSoftcapAlibiAndSinks) {
  const SequenceOffsets offsets = SequenceOffsets::from_lengths({3, 1, 6}, test_device());
  const Tensor slopes = uniform(Shape{4}, 0.1, 1, DType::float64, test_device());
  for (const bool causal : {false, true}) {
    check_gradients(
        [&](const Inputs& in) {
          return attention(
              in[0], in[1], in[2], offsets, offsets,
              {.scale = 2, .causal = causal, .window = 2, .softcap = 0.5, .alibi_slopes = slopes, .sinks = in[3]});
        },
        {random_input({10, 4, 3}, 1), random_input({10, 2, 3}, 2), random_input({10, 2, 3}, 3), random_input({4}, 4)});
  }
}

// A cache of room for five keys a sequence, filled in part: what lies beyond gets no gradient.
TEST(Gradients, AttentionToKeysWithGaps) {
  const SequenceOffsets queries = SequenceOffsets::from_lengths({1, 2}, test_device());
  const SequenceOffsets keys = SequenceOffsets::with_lengths({5, 0}, {3, 4}, test_device());
  EXPECT_EQ(keys.count(), 2);
  EXPECT_EQ(keys.rows(), 8);
  EXPECT_EQ(keys.longest(), 4);
  EXPECT_EQ(keys.length(0), 3);
  EXPECT_EQ(keys.begin(0), 5);
  const Inputs inputs = {random_input({3, 2, 3}, 1), random_input({10, 2, 3}, 2), random_input({10, 2, 3}, 3)};
  check_gradients(
      [&](const Inputs& in) { return attention(in[0], in[1], in[2], queries, keys, {.scale = 0.5, .causal = true}); },
      inputs);
  const std::vector<double> d_value = inputs[2].grad().to_vector<double>();
  for (const int64_t row : {4, 8, 9})
    for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(d_value[static_cast<size_t>(row * 6 + i)], 0);
  const SequenceOffsets shared = SequenceOffsets::with_lengths({0, 2}, {3, 4}, test_device());
  EXPECT_TRUE(shared.overlap());
  EXPECT_FALSE(keys.overlap());
  EXPECT_THROW(attention(inputs[0], inputs[1], inputs[2], queries, shared, {}), Error);
  const NoGrad no_grad;
  EXPECT_EQ(attention(inputs[0], inputs[1], inputs[2], queries, shared, {}).shape(), (Shape{3, 2, 3}));
}

TEST(Attention, RefusesOperandsThatDoNotFit) {
  const SequenceOffsets offsets = SequenceOffsets::from_lengths({3, 1}, test_device());
  const Tensor q = random_input({4, 2, 3}, 1), narrow = random_input({4, 2, 2}, 1), one = random_input({1}, 1);
  const Tensor half = q.detach().to(DType::float16);
  EXPECT_THROW(attention(q, half, half, offsets, offsets, {}), Error);
  const NoGrad no_grad;
  EXPECT_THROW(attention(q, narrow, q, offsets, offsets, {}), Error);
  EXPECT_EQ(attention(q, q, narrow, offsets, offsets, {}).shape(), (Shape{4, 2, 2}));
  EXPECT_THROW(attention(q, q, q, offsets, SequenceOffsets::from_lengths({3, 2}, test_device()), {}), Error);
  EXPECT_THROW(attention(q, q, q, offsets, SequenceOffsets::with_lengths({0, 2}, {3, 3}, test_device()), {}), Error);
  EXPECT_THROW(attention(q, q, q, offsets, offsets, {.window = -1}), Error);
  EXPECT_THROW(attention(q, q, q, offsets, offsets, {.softcap = -1}), Error);
  EXPECT_THROW(attention(q, q, q, offsets, offsets, {.alibi_slopes = one}), Error);
  EXPECT_THROW(attention(q, q, q, offsets, offsets, {.sinks = one}), Error);
  EXPECT_THROW(attention(q, q, q, offsets, offsets, {.key_mask = Tensor::ones({3}, DType::boolean, test_device())}),
               Error);
  EXPECT_THROW(attention(q, q, q, offsets, offsets, {.bias = random_input({1, 2, 1, 2}, 1)}), Error);
  // Narrow keys, where no gradient is wanted.
  EXPECT_EQ(attention(q, half, half, offsets, offsets, {}).dtype(), DType::float64);
  EXPECT_THROW(attention(q, half, q, offsets, offsets, {}), Error);
  EXPECT_THROW(SequenceOffsets::with_lengths({0, 5}, {1}, test_device()), Error);
  EXPECT_THROW(SequenceOffsets::with_lengths({-1}, {1}, test_device()), Error);
  EXPECT_THROW(SequenceOffsets::with_lengths({2147483647}, {1}, test_device()), Error);
}

// With the seed set before each call, dropout is a fixed function like any other.
TEST(Gradients, Dropout) {
  check_gradients(
      [](const Inputs& in) {
        manual_seed(7);
        return dropout(in[0], 0.4);
      },
      {random_input({50}, 1)});
  const SequenceOffsets offsets = SequenceOffsets::from_lengths({5}, test_device());
  check_gradients(
      [&](const Inputs& in) {
        manual_seed(7);
        return attention(in[0], in[1], in[2], offsets, offsets, {.scale = 0.5, .dropout = 0.3});
      },
      {random_input({5, 2, 3}, 1), random_input({5, 2, 3}, 2), random_input({5, 2, 3}, 3)});
}

}  // namespace
}  // namespace mica
