// Training on a device that is not the CPU: the guarded device, whose kernels are the CPU's, gives the CPU's bits.

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/base/error.h"
#include "mica/models/auto/lora.h"
#include "mica/tests/support/guarded_device.h"
#include "mica/tests/support/tiny_model.h"
#include "mica/tests/training/learning.h"
#include "mica/training/checkpoint.h"
#include "mica/training/trainer.h"

namespace mica {
namespace {

using test::all_parameters;
using test::case_named;
using test::Collator;
using test::guarded_device;
using test::logged;
using test::model_of;
using test::rows_of;
using test::settings;

struct Trained {
  Model model;
  std::vector<double> losses, norms, evaluations;
};

Trained run(const std::string& model_type, Device device, const TrainingArguments& arguments, bool ragged = false) {
  const Json& which = case_named(model_type);
  Trained result{model_of(which, device), {}, {}, {}};
  const Dataset rows = rows_of(which);
  Trainer trainer(result.model, arguments, rows,
                  {.eval_dataset = rows, .data_collator = std::make_shared<Collator>(ragged)});
  trainer.train();
  result.losses = logged(trainer.state(), "loss");
  result.norms = logged(trainer.state(), "grad_norm");
  result.evaluations = logged(trainer.state(), "eval_loss");
  return result;
}

void expect_same(const Trained& have, const Trained& wanted) {
  EXPECT_FALSE(wanted.losses.empty());
  EXPECT_EQ(have.losses, wanted.losses);
  EXPECT_EQ(have.norms, wanted.norms);
  EXPECT_EQ(have.evaluations, wanted.evaluations);
  EXPECT_EQ(all_parameters(have.model), all_parameters(wanted.model));
}

class DeviceTraining : public ::testing::Test {
 protected:
  TrainingArguments arguments(const std::string& name) {
    TrainingArguments result = settings(folder_ / name);
    result.max_steps = 5;
    return result;
  }
  tiny::TemporaryFolder folder_;
};

TEST_F(DeviceTraining, StepsAreTheCpusBitForBit) {
  for (const char* type : {"bert", "gpt2", "llama", "t5", "bart"}) {
    SCOPED_TRACE(type);
    TrainingArguments settings = arguments(type);
    settings.logging_steps = 2;
    settings.gradient_accumulation_steps = 2;
    settings.eval_strategy = IntervalStrategy::steps;
    settings.eval_steps = 3;
    expect_same(run(type, guarded_device(), settings), run(type, {}, settings));
  }
}

TEST_F(DeviceTraining, EveryOptimizerWorksThere) {
  for (const OptimizerType type :
       {OptimizerType::adamw_torch, OptimizerType::adafactor, OptimizerType::sgd, OptimizerType::lion}) {
    SCOPED_TRACE(static_cast<int>(type));
    TrainingArguments settings = arguments("optimizer");
    settings.optim = type;
    settings.label_smoothing_factor = 0.1;
    settings.max_grad_norm = 0.5;
    expect_same(run("bert", guarded_device(), settings, true), run("bert", {}, settings, true));
  }
}

// The norm of a step's gradients decides how they are scaled; the loss is only looked at when it is logged.
TEST_F(DeviceTraining, AStepWaitsForTheNormAlone) {
  const Json& which = case_named("bert");
  const auto copies = [&](int64_t steps, double logging_steps) {
    const Model model = model_of(which, guarded_device());
    TrainingArguments settings = arguments("copies");
    settings.max_steps = steps;
    settings.logging_steps = logging_steps;
    Trainer trainer(model, settings, rows_of(which), {.data_collator = std::make_shared<Collator>(true)});
    const int64_t before = test::copies_to_host();
    trainer.train();
    return test::copies_to_host() - before;
  };
  EXPECT_EQ(copies(12, 100) - copies(6, 100), 6);
  EXPECT_EQ(copies(6, 1) - copies(6, 100), 5) << "6 logs; without any the loss is read at the end";
}

TEST_F(DeviceTraining, ALossThatIsNoNumberIsNamed) {
  const Json& which = case_named("bert");
  const Model model = model_of(which, guarded_device());
  for (const auto& [name, tensor] : model.parameters()) {
    if (name == "classifier.bias") tensor.detach().fill_(NAN);
  }
  Trainer trainer(model, arguments("nan"), rows_of(which), {.data_collator = std::make_shared<Collator>(true)});
  try {
    trainer.train();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("the loss of step 1 is not a number"), std::string::npos) << error.what();
  }
}

TEST_F(DeviceTraining, ACheckpointOfADeviceGoesOnAnywhere) {
  const Json& which = case_named("bert");
  TrainingArguments settings = arguments("whole");
  settings.max_steps = 8;
  settings.logging_steps = 3;
  settings.save_strategy = SaveStrategy::steps;
  settings.save_steps = 4;
  const Trained whole = run("bert", guarded_device(), settings, true);
  settings.resume_from_checkpoint = checkpoint_folder(folder_ / "whole", 4);
  settings.save_strategy = SaveStrategy::no;
  for (const Device device : {guarded_device(), Device{}}) {
    SCOPED_TRACE(to_string(device));
    settings.output_dir = folder_ / "again";
    const Trained again = run(which.at("model_type").get<std::string>(), device, settings, true);
    EXPECT_EQ(again.losses, whole.losses);
    EXPECT_EQ(all_parameters(again.model), all_parameters(whole.model));
  }
}

TEST_F(DeviceTraining, AdaptersLearnThere) {
  std::vector<float> learned[2];
  for (const Device device : {Device{}, guarded_device()}) {
    const Json& which = case_named("bert");
    const Model model = model_of(which, device);
    manual_seed(4);
    add_adapter(model, {.r = 2, .target_modules = {"query", "value"}});
    Trainer trainer(model, arguments("lora"), rows_of(which), {.data_collator = std::make_shared<Collator>(true)});
    trainer.train();
    for (const auto& [name, tensor] : adapter_parameters(model)) {
      const std::vector<float> values = tensor.to_vector<float>();
      learned[device.is_cpu() ? 0 : 1].insert(learned[device.is_cpu() ? 0 : 1].end(), values.begin(), values.end());
    }
  }
  EXPECT_FALSE(learned[0].empty());
  EXPECT_EQ(learned[0], learned[1]);
}

}  // namespace
}  // namespace mica
