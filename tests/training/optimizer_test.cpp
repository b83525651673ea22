#include "mica/training/optimizers/optimizer.h"

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/training/support.h"
#include "mica/training/optimizers/adafactor.h"
#include "mica/training/optimizers/adamw.h"
#include "mica/training/optimizers/lion.h"
#include "mica/training/optimizers/sgd.h"

namespace mica {
namespace {

// The numbers of generate_optimizers.py.
Tensor filled(int seed, const Shape& shape, DType dtype) {
  std::vector<double> values;
  for (int64_t i = 0; i < shape.numel(); ++i) {
    values.push_back(static_cast<double>((i * 37 + seed * 101 + 11) % 97) / 48.5 - 1);
  }
  return Tensor::from(values, shape).to(dtype);
}

const std::vector<Shape> kShapes{{5, 7}, {6}, {2, 3, 4}};

struct Parameters {
  std::vector<Tensor> tensors;

  explicit Parameters(DType dtype) {
    for (size_t k = 0; k < kShapes.size(); ++k) tensors.push_back(filled(static_cast<int>(k), kShapes[k], dtype));
  }

  std::vector<ParameterGroup> groups(double scale) const {
    return {{.parameters = {{"layer.weight", tensors[0]}}, .weight_decay = 0.1},
            {.parameters = {{"layer.bias", tensors[1]}, {"cube", tensors[2]}}, .learning_rate_scale = scale}};
  }

  // Gradients of one step, times `factor`.
  void set_gradients(int step, double factor = 1) const {
    for (size_t k = 0; k < tensors.size(); ++k) {
      const Tensor g = filled(10 + 7 * step + static_cast<int>(k), kShapes[k], DType::float64);
      for (int64_t i = 0; i < g.numel(); ++i) g.data<double>()[i] *= factor;
      tensors[k].set_grad(g.to(tensors[k].dtype()));
    }
  }

  std::vector<double> values() const {
    std::vector<double> all;
    for (const Tensor& each : tensors) {
      const auto part = each.to_vector<double>();
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
};

using Groups = std::vector<ParameterGroup>;
using Make = std::function<std::unique_ptr<Optimizer>(Groups)>;

template <typename Kind, typename Options>
Make maker(const Options& options) {
  return [options](Groups groups) { return std::make_unique<Kind>(std::move(groups), options); };
}

struct Case {
  const char* name;
  Make make;
  double scale = 0.5;  // of the second group's rate; Adafactor's own rates know no groups in the reference
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"adamw", maker<AdamW>(AdamWOptions{.learning_rate = 0.01})},
      {"adamw_betas", maker<AdamW>(AdamWOptions{.learning_rate = 0.01, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3})},
      {"sgd", maker<Sgd>(SgdOptions{.learning_rate = 0.01})},
      {"sgd_momentum", maker<Sgd>(SgdOptions{.learning_rate = 0.01, .momentum = 0.9, .dampening = 0.3})},
      {"sgd_nesterov", maker<Sgd>(SgdOptions{.learning_rate = 0.01, .momentum = 0.8, .nesterov = true})},
      {"lion", maker<Lion>(LionOptions{.learning_rate = 0.01})},
      {"adafactor", maker<Adafactor>(AdafactorOptions{}), 1},
      {"adafactor_warmup", maker<Adafactor>(AdafactorOptions{.clip_threshold = 0.5, .warmup_init = true}), 1},
      {"adafactor_lr",
       maker<Adafactor>(AdafactorOptions{.learning_rate = 0.01, .scale_parameter = false, .relative_step = false})},
      {"adafactor_beta1",
       maker<Adafactor>(AdafactorOptions{.learning_rate = 0.01, .beta1 = 0.9, .relative_step = false})},
  };
  return all;
}

constexpr int kSteps = 20;

TEST(Optimizers, TwentyStepsAreTheReferences) {
  const Json data = test::reference("optimizers.json");
  ASSERT_EQ(data.size(), cases().size());
  for (const Case& each : cases()) {
    SCOPED_TRACE(each.name);
    std::vector<double> want;
    for (const Json& tensor : data[each.name]) {
      for (const Json& value : tensor) want.push_back(value);
    }
    for (const DType dtype : {DType::float64, DType::float32}) {
      const Parameters parameters(dtype);
      const auto optimizer = each.make(parameters.groups(each.scale));
      for (int step = 0; step < kSteps; ++step) {
        // Gradients four times as large, scaled back, are the same gradients to the last bit.
        parameters.set_gradients(step, 4);
        optimizer->step(0.25);
      }
      const std::vector<double> got = parameters.values();
      ASSERT_EQ(got.size(), want.size());
      // Twenty steps of some ten roundings each, of numbers up to 2; division by a root of at least 1/100 of them.
      const double bound = dtype == DType::float64 ? 1e-12 : 20 * 10 * 2 * 0x1p-24;
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_NEAR(got[i], want[i], bound) << name(dtype) << " at " << i;
      }
    }
  }
}

TEST(Optimizers, GoOnFromSavedState) {
  for (const Case& each : cases()) {
    SCOPED_TRACE(each.name);
    const Parameters whole(DType::float32), halves(DType::float32);
    const auto one = each.make(whole.groups(each.scale));
    auto two = each.make(halves.groups(each.scale));
    for (int step = 0; step < 6; ++step) {
      whole.set_gradients(step);
      halves.set_gradients(step);
      one->step();
      two->step();
      if (step != 2) continue;
      const NamedTensors state = two->state();
      auto next = each.make(halves.groups(each.scale));
      next->load_state(state, "test");
      for (const auto& [name, tensor] : state) {
        if (tensor.dtype() == DType::float32) tensor.fill_(77);  // the new one has its own copy
      }
      two = std::move(next);
    }
    EXPECT_EQ(whole.values(), halves.values());
  }
}

TEST(Optimizers, StateHasTheReferencesNames) {
  const Parameters parameters(DType::float32);
  AdamW optimizer(parameters.groups(1));
  EXPECT_TRUE(optimizer.state().empty());
  parameters.set_gradients(0);
  parameters.tensors[2].set_grad({});
  optimizer.step();
  std::vector<std::string> names;
  for (const auto& [name, tensor] : optimizer.state()) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"layer.weight.step", "layer.weight.exp_avg", "layer.weight.exp_avg_sq",
                                             "layer.bias.step", "layer.bias.exp_avg", "layer.bias.exp_avg_sq"}));
  Adafactor factored(parameters.groups(1));
  parameters.set_gradients(0);
  factored.step();
  const NamedTensors state = factored.state();
  const std::map<std::string, Tensor> named(state.begin(), state.end());
  EXPECT_EQ(named.at("cube.exp_avg_sq_row").shape(), (Shape{2, 3}));
  EXPECT_EQ(named.at("cube.exp_avg_sq_col").shape(), (Shape{2, 4}));
  EXPECT_EQ(named.at("layer.bias.exp_avg_sq").shape(), (Shape{6}));
}

TEST(Optimizers, WrongStateIsRefusedAndChangesNothing) {
  const Parameters parameters(DType::float32);
  AdamW optimizer(parameters.groups(1));
  parameters.set_gradients(0);
  optimizer.step();
  const NamedTensors good = optimizer.state();
  const auto refused = [&](const std::function<void(NamedTensors&)>& change) {
    NamedTensors state = good;
    change(state);
    EXPECT_THROW(optimizer.load_state(state, "test"), Error);
    EXPECT_EQ(optimizer.state().size(), good.size());
    EXPECT_EQ(optimizer.state()[1].second.to_vector<float>(), good[1].second.to_vector<float>());
  };
  refused([](NamedTensors& state) { state.pop_back(); });
  refused([](NamedTensors& state) { state.emplace_back("other.exp_avg", Tensor::zeros({1})); });
  refused([](NamedTensors& state) { state[1].second = Tensor::zeros({7, 5}); });
  refused([](NamedTensors& state) { state[1].second = Tensor::zeros({5, 7}, DType::float64); });
  refused([](NamedTensors& state) { state[0].second = Tensor::full({}, 0, DType::int64); });
}

TEST(Optimizers, ParametersWithoutGradientStay) {
  const Parameters parameters(DType::float32);
  AdamW optimizer(parameters.groups(1));
  const auto before = parameters.tensors[1].to_vector<float>();
  const uint64_t version = parameters.tensors[0].storage()->version();
  parameters.set_gradients(0);
  parameters.tensors[1].set_grad({});
  optimizer.step();
  EXPECT_EQ(parameters.tensors[1].to_vector<float>(), before);
  EXPECT_NE(parameters.tensors[0].storage()->version(), version);
  optimizer.zero_grad();
  EXPECT_FALSE(parameters.tensors[0].grad());
  EXPECT_EQ(optimizer.gradient_norm(), 0);
}

TEST(Optimizers, NormIsThatOfAllGradients) {
  const Parameters parameters(DType::float32);
  const Sgd optimizer(parameters.groups(1));
  parameters.set_gradients(0);
  double squares = 0;
  for (const Tensor& each : parameters.tensors) {
    for (const double g : each.grad().to_vector<double>()) squares += g * g;
  }
  EXPECT_NEAR(optimizer.gradient_norm(), std::sqrt(squares), 1e-12);
  parameters.tensors[1].grad().data<float>()[3] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isinf(optimizer.gradient_norm()));
}

TEST(Optimizers, WhatCannotBeIsRefused) {
  const Parameters parameters(DType::float32);
  const Groups groups = parameters.groups(1);
  const Tensor& weight = parameters.tensors[0];
  const auto one = [](const std::string& name, const Tensor& tensor) {
    return Groups{{.parameters = {{name, tensor}}}};
  };
  EXPECT_THROW(Sgd(one("half", weight.to(DType::bfloat16))), Error);
  EXPECT_THROW(Sgd(one("strided", weight.transpose(0, 1))), Error);
  EXPECT_THROW(Sgd(one("undefined", {})), Error);
  EXPECT_THROW(Sgd(Groups{{.parameters = {{"a", weight}, {"b", weight}}}}), Error);
  EXPECT_THROW(Sgd(Groups{{.parameters = {{"a", weight}, {"a", parameters.tensors[1]}}}}), Error);
  EXPECT_THROW(AdamW(groups, {.learning_rate = -1}), Error);
  EXPECT_THROW(AdamW(groups, {.learning_rate = std::nan("")}), Error);
  EXPECT_THROW(AdamW(groups, {.beta1 = 1}), Error);
  EXPECT_THROW(AdamW(groups, {.beta2 = std::nan("")}), Error);
  EXPECT_THROW(Sgd(groups, {.nesterov = true}), Error);
  EXPECT_THROW(Lion(groups, {.beta2 = 1.5}), Error);
  EXPECT_THROW(Adafactor(groups, {.learning_rate = 1}), Error);
  EXPECT_THROW(Adafactor(groups, {.relative_step = false}), Error);
  EXPECT_THROW(Adafactor(groups, {.learning_rate = 1, .relative_step = false, .warmup_init = true}), Error);

  Sgd optimizer(groups, {.learning_rate = 1});
  parameters.set_gradients(0);
  const std::vector<double> before = parameters.values();
  EXPECT_THROW(optimizer.step(std::nan("")), Error);
  parameters.tensors[2].set_grad(Tensor::zeros({2, 3, 4}, DType::float64));
  EXPECT_THROW(optimizer.step(), Error);
  EXPECT_EQ(parameters.values(), before);
}

}  // namespace
}  // namespace mica
