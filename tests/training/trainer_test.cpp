// Training against a plain loop of the reference, and what a Trainer keeps, resumes and refuses.

#include "mica/training/trainer.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/kernels/backend.h"
#include "mica/kernels/linear.h"
#include "mica/models/auto/auto_model.h"
#include "mica/tests/support/golden.h"
#include "mica/tests/support/tiny_model.h"
#include "mica/tests/training/learning.h"
#include "mica/training/checkpoint.h"
#include "mica/training/collators/padding.h"
#include "mica/training/loss.h"

namespace mica {
namespace {

using test::all_parameters;
using test::case_named;
using test::Collator;
using test::learning;
using test::logged;
using test::model_of;
using test::rows_of;
using test::settings;

// A bias of keys shifts all scores of a query alike: its gradient is 0 but for rounding, which Adam makes steps of.
bool learns_noise(const std::string& name) {
  return name.ends_with("key.bias") || name.ends_with("k_proj.bias") || name.ends_with("c_attn.bias");
}

class TrainerTest : public ::testing::Test {
 protected:
  tiny::TemporaryFolder folder_;
};

class Learning : public ::testing::TestWithParam<std::string> {};

TEST_P(Learning, TwentyStepsAreTheReferences) {
  const tiny::TemporaryFolder folder;
  const Json& which = case_named(GetParam());
  const bool seq2seq = which.at("task") == "seq2seq_lm";
  for (const bool ragged : {false, true}) {
    if (ragged && seq2seq) continue;
    SCOPED_TRACE(ragged ? "ragged" : "padded");
    const Model model = model_of(which);
    Trainer trainer(model, settings(folder.path()), rows_of(which),
                    {.data_collator = std::make_shared<Collator>(ragged)});
    trainer.train();
    const std::vector<double> losses = logged(trainer.state(), "loss"), norms = logged(trainer.state(), "grad_norm");
    const auto wanted = which.at("losses").get<std::vector<double>>();
    const auto wanted_norms = which.at("grad_norms").get<std::vector<double>>();
    ASSERT_EQ(losses.size(), wanted.size());
    for (size_t i = 0; i < losses.size(); ++i) {
      EXPECT_NEAR(losses[i], wanted[i], 1e-4) << "step " << i;
      EXPECT_NEAR(norms[i], wanted_norms[i], 1e-3 * wanted_norms[i]) << "step " << i;
    }
    size_t compared = 0;
    for (const auto& [name, tensor] : model.parameters()) {
      if (!which.at("parameters").contains(name)) continue;
      ++compared;
      if (learns_noise(name)) continue;
      const double norm = which["parameters"][name][0].get<double>();
      const double projected = which["parameters"][name][1].get<double>();
      const std::vector<double> values = tensor.to_vector<double>();
      double square = 0, dot = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        square += values[i] * values[i];
        dot += values[i] * golden::uniform(name + "#grad", static_cast<long long>(i));
      }
      EXPECT_NEAR(std::sqrt(square), norm, 1e-4 * norm) << name;
      EXPECT_NEAR(dot, projected, 1e-4 * norm) << name;
    }
    EXPECT_EQ(compared, which.at("parameters").size());
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Learning, ::testing::Values("bert", "roberta", "gpt2", "llama", "t5", "bart"),
                         [](const auto& one) { return one.param; });

// Dropout on: a resumed run draws the same numbers, too.
Model with_dropout() {
  Config config = AutoConfig::from_json(case_named("bert").at("config").dump(), "learning.json");
  config.hidden_dropout_prob = 0.1;
  config.attention_probs_dropout_prob = 0.1;
  Model model = Model::from_config(config, Task::sequence_classification, {.device = test::test_device()});
  golden::fill_by_rule(model);
  return model;
}

TEST_F(TrainerTest, AResumedRunGivesTheBitsOfAnUninterruptedOne) {
  const Dataset rows = rows_of(case_named("bert"));
  const auto arguments_in = [&](const std::string& folder) {
    TrainingArguments arguments = settings(folder);
    arguments.train_sampling_strategy = SamplingStrategy::random;
    arguments.gradient_accumulation_steps = 2;
    arguments.logging_steps = 3;
    arguments.max_steps = 17;
    arguments.save_strategy = SaveStrategy::steps;
    arguments.save_steps = 7;  // in the middle of an epoch, and between two logs
    return arguments;
  };
  const TrainerParts parts{.data_collator = std::make_shared<Collator>(true)};
  const Model whole = with_dropout();
  Trainer straight(whole, arguments_in(folder_ / "whole"), rows, parts);
  straight.train();
  ASSERT_EQ(checkpoint_steps(folder_ / "whole"), (std::vector<int64_t>{7, 14, 17}));

  // Another process: a model with other weights that goes on from the checkpoint.
  const Model again = with_dropout();
  for (const auto& [name, tensor] : again.parameters()) tensor.detach().fill_(0.5);
  TrainingArguments resumed = arguments_in(folder_ / "again");
  resumed.resume_from_checkpoint = checkpoint_folder(folder_ / "whole", 7);
  Trainer second(again, resumed, rows, parts);
  second.train();
  EXPECT_EQ(all_parameters(whole), all_parameters(again));
  EXPECT_EQ(logged(straight.state(), "loss"), logged(second.state(), "loss"));
  EXPECT_EQ(logged(straight.state(), "learning_rate"), logged(second.state(), "learning_rate"));
}

TEST_F(TrainerTest, AnEvaluationLeavesTrainingAsItWas) {
  const Dataset rows = rows_of(case_named("bert"));
  const auto losses = [&](bool first, bool between) {
    TrainingArguments arguments = settings(folder_.path());
    arguments.max_steps = 4;
    arguments.eval_on_start = first;
    TrainerParts parts{.eval_dataset = rows, .data_collator = std::make_shared<Collator>(true)};
    Trainer trainer(with_dropout(), arguments, rows, parts);
    struct Evaluating : TrainerCallback {
      Trainer* trainer = nullptr;
      void on_step_end(const TrainerContext&) override { trainer->evaluate(); }
    };
    if (between) {
      const auto callback = std::make_shared<Evaluating>();
      callback->trainer = &trainer;
      trainer.add_callback(callback);
    }
    trainer.train();
    return logged(trainer.state(), "loss");
  };
  const std::vector<double> plain = losses(false, false);
  EXPECT_EQ(losses(true, false), plain);
  EXPECT_EQ(losses(false, true), plain);
}

TEST_F(TrainerTest, AccumulatedBatchesAreOneBatchWhateverTheirNumbersOfLabels) {
  for (const char* type : {"gpt2", "roberta", "bert"}) {
    SCOPED_TRACE(type);
    const Json& which = case_named(type);
    const auto losses = [&](int64_t batch, int64_t accumulate) {
      const Model model = model_of(which);
      TrainingArguments arguments = settings(folder_.path());
      arguments.per_device_train_batch_size = batch;
      arguments.gradient_accumulation_steps = accumulate;
      arguments.max_steps = 4;
      Trainer trainer(model, arguments, rows_of(which), {.data_collator = std::make_shared<Collator>(true)});
      trainer.train();
      return logged(trainer.state(), "loss");
    };
    const std::vector<double> one = losses(6, 1), three = losses(2, 3);
    ASSERT_EQ(one.size(), three.size());
    for (size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i], three[i], 2e-5 * one[i]);
  }
}

TEST_F(TrainerTest, KeepsTheBestCheckpointStopsEarlyAndEndsWithIt) {
  const Dataset rows = rows_of(case_named("bert"));
  const Model model = model_of(case_named("bert"));
  TrainingArguments arguments = settings(folder_.path());
  arguments.max_steps = -1;
  arguments.num_train_epochs = 10;
  arguments.eval_strategy = IntervalStrategy::epoch;
  arguments.save_strategy = SaveStrategy::epoch;
  arguments.save_total_limit = 1;
  arguments.load_best_model_at_end = true;
  arguments.metric_for_best_model = "luck";
  arguments.early_stopping_patience = 2;
  arguments.report_to = {"all"};
  std::vector<double> luck{0.3, 0.7, 0.5, 0.6, 0.9};
  size_t evaluation = 0;
  std::vector<std::vector<float>> weights;
  TrainerParts parts{.eval_dataset = rows, .data_collator = std::make_shared<Collator>(true)};
  parts.compute_metrics = [&](const EvalPrediction& prediction) {
    EXPECT_EQ(prediction.predictions.size(), 38U);
    EXPECT_EQ(prediction.label_ids.size(), 38U);
    EXPECT_EQ(prediction.predictions[0].shape(), (Shape{2}));
    weights.push_back(all_parameters(model));
    return LogEntry{{"luck", luck[evaluation++]}};
  };
  Trainer trainer(model, arguments, rows, parts);
  const TrainOutput output = trainer.train();
  EXPECT_EQ(evaluation, 4U) << "the second was the best; two more were no better";
  EXPECT_EQ(output.global_step, 40);
  EXPECT_EQ(trainer.state().best_metric, 0.7);
  EXPECT_EQ(trainer.state().best_model_checkpoint, checkpoint_folder(folder_.path(), 20));
  EXPECT_EQ(checkpoint_steps(folder_.path()), (std::vector<int64_t>{20, 40}));
  EXPECT_EQ(all_parameters(model), weights[1]);

  // A checkpoint is a model; its state holds all that was logged.
  const Model opened = AutoModelForSequenceClassification::from_pretrained(checkpoint_folder(folder_.path(), 20));
  EXPECT_EQ(all_parameters(opened), weights[1]);
  const Json state = read_json_file(checkpoint_folder(folder_.path(), 20) + "/trainer_state.json");
  EXPECT_EQ(state.at("global_step"), 20);
  EXPECT_EQ(state.at("log_history").size(), 22U) << "twenty steps, two evaluations";
  EXPECT_EQ(state.at("log_history")[21].at("eval_luck"), 0.7);

  // Reports.
  const std::string log = read_file(folder_ / "log.jsonl");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 45) << "40 steps, 4 evaluations, the end";
  const std::string html = read_file(folder_ / "report.html");
  EXPECT_NE(html.find("<polyline"), std::string::npos);
  EXPECT_NE(html.find("eval_luck"), std::string::npos);
  EXPECT_EQ(html.find("http"), std::string::npos) << "it needs no network";
  EXPECT_EQ(list_directory(folder_ / "runs").size(), 1U);
}

TEST_F(TrainerTest, AnInterruptSavesAndLeaves) {
  const Json& which = case_named("bert");
  TrainingArguments arguments = settings(folder_.path());
  int64_t asked = 0;
  TrainerParts parts{.data_collator = std::make_shared<Collator>(true)};
  parts.interrupted = [&] { return ++asked == 5; };
  Trainer trainer(model_of(which), arguments, rows_of(which), parts);
  const TrainOutput output = trainer.train();
  EXPECT_TRUE(output.interrupted);
  EXPECT_EQ(output.global_step, 5);
  EXPECT_EQ(last_checkpoint(folder_.path()), checkpoint_folder(folder_.path(), 5));
  // And goes on to the losses of the reference.
  arguments.resume_from_checkpoint = "true";
  Trainer second(model_of(which), arguments, rows_of(which), {.data_collator = std::make_shared<Collator>(true)});
  second.train();
  const std::vector<double> losses = logged(second.state(), "loss");
  ASSERT_EQ(losses.size(), 20U);
  EXPECT_NEAR(losses[19], which.at("losses")[19].get<double>(), 1e-4);
}

TEST_F(TrainerTest, SmoothedLabelsAreTheFormulas) {
  // loss = (1 - f) (-log p_label) + f mean over classes of -log p, over labelled tokens.
  const Json& which = case_named("gpt2");
  const Model model = model_of(which);
  ModelInputs inputs;
  inputs.input_ids = Tensor::from(std::vector<int64_t>{7, 8, 9, 10, 11, 12}, {2, 3});
  inputs.labels = Tensor::from(std::vector<int64_t>{7, 8, -100, 10, 11, 12}, {2, 3});
  const ModelOutput output = model(inputs);
  const std::vector<double> logits = output.logits.to_vector<double>();
  const auto classes = static_cast<size_t>(output.logits.size(2));
  const std::vector<std::pair<size_t, size_t>> labelled{{0, 8}, {3, 11}, {4, 12}};
  double wanted = 0;
  for (const auto& [row, label] : labelled) {
    double sum = 0, mean = 0;
    for (size_t c = 0; c < classes; ++c) sum += std::exp(logits[row * classes + c]);
    for (size_t c = 0; c < classes; ++c)
      mean += (std::log(sum) - logits[row * classes + c]) / static_cast<double>(classes);
    wanted += (0.8 * (std::log(sum) - logits[row * classes + label]) + 0.2 * mean) / 3;
  }
  EXPECT_NEAR(smoothed_loss(model, inputs, output, 0.2).item<double>(), wanted, 1e-5);
  EXPECT_EQ(loss_items(model, inputs), 3);
}

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(TrainerTest, FaultsStopWithOneClearError) {
  const Json& which = case_named("bert");
  const Dataset rows = rows_of(which);
  const TrainerParts parts{.data_collator = std::make_shared<Collator>(true)};
  const auto train = [&](const TrainingArguments& arguments, const Dataset& data, const TrainerParts& with) {
    return refusal([&] { Trainer(model_of(which), arguments, data, with).train(); });
  };
  TrainingArguments arguments = settings(folder_.path());
  EXPECT_NE(train(arguments, Dataset(), parts).find("no rows to train on"), std::string::npos);

  // A loss that is no number, at its step; the checkpoint before stays.
  TrainerParts broken = parts;
  int64_t calls = 0;
  broken.compute_loss = [&](const Model& model, const ModelInputs& inputs) {
    const Tensor loss = model(inputs).loss;
    return ++calls == 4 ? Tensor::full({}, std::numeric_limits<double>::quiet_NaN()) : loss;
  };
  arguments.save_strategy = SaveStrategy::steps;
  arguments.save_steps = 2;
  EXPECT_NE(train(arguments, rows, broken).find("the loss of step 4 is not a number"), std::string::npos);
  EXPECT_EQ(checkpoint_steps(folder_.path()), (std::vector<int64_t>{2}));

  std::vector<Example> wrong{rows[0], rows[1]};
  wrong[1].set("labels", 5);
  EXPECT_NE(train(arguments, Dataset::from_list(wrong), parts), "");

  arguments.resume_from_checkpoint = folder_ / "nothing";
  EXPECT_NE(train(arguments, rows, parts).find("trainer_state.json"), std::string::npos);
  arguments.resume_from_checkpoint = "";
  arguments.eval_strategy = IntervalStrategy::epoch;
  EXPECT_NE(train(arguments, rows, parts).find("eval_strategy"), std::string::npos)
      << "there is nothing to evaluate on";
  arguments.eval_strategy = IntervalStrategy::no;
  arguments.freeze = {"no such parameter"};
  EXPECT_NE(train(arguments, rows, parts).find("no such parameter"), std::string::npos);
}

// The argument alone gives the bits of a model that was opened for it; the model itself stays as it was.
TEST_F(TrainerTest, Bf16NeedsNoModelOpenedForIt) {
  const Json& which = case_named("bert");
  const Dataset rows = rows_of(which);
  struct Run {
    std::vector<float> weights, logits;
    double loss = 0;
  };
  const auto run = [&](std::optional<DType> opened, bool bf16) {
    const Model model = Model::from_config(AutoConfig::from_json(which.at("config").dump(), "learning.json"),
                                           task_from_name(which.at("task").get<std::string>()), {.dtype = opened});
    golden::fill_by_rule(model);
    TrainingArguments arguments = settings(folder_.path());
    arguments.bf16 = bf16;
    TrainerParts parts;
    parts.data_collator = std::make_shared<Collator>(true);
    parts.eval_dataset = rows;
    Trainer trainer(model, arguments, rows, parts);
    trainer.train();
    Run result;
    for (const auto& [name, value] : trainer.evaluate()) {
      if (name == "eval_loss") result.loss = value;
    }
    for (const auto& [name, tensor] : model.parameters()) {
      EXPECT_EQ(tensor.dtype(), DType::float32);
      const std::vector<float> values = tensor.to_vector<float>();
      result.weights.insert(result.weights.end(), values.begin(), values.end());
    }
    const NoGrad no_grad;
    ModelInputs one;
    one.input_ids = Tensor::from<int64_t>({2, 7, 9}, {1, 3});
    result.logits = model(one).logits.to_vector<float>();
    return result;
  };
  const Run plain = run({}, false), opened = run(DType::bfloat16, true), argument = run({}, true);
  EXPECT_EQ(argument.weights, opened.weights);
  EXPECT_EQ(argument.loss, opened.loss);
  if (backend(Device{}).linear().packed_dtype(DType::bfloat16) != DType::bfloat16) {
    // A processor that does not multiply bfloat16 faster does not round to it.
    EXPECT_EQ(argument.weights, plain.weights);
    return;
  }
  EXPECT_NE(argument.weights, plain.weights);
  EXPECT_NE(argument.logits, opened.logits) << "outside of the Trainer it computes in float32";
}

TEST_F(TrainerTest, FrozenParametersStayAndLayersLearnAtTheirRates) {
  const Json& which = case_named("bert");
  const Model model = model_of(which);
  TrainingArguments arguments = settings(folder_.path());
  arguments.freeze = {"embeddings", "layer.0."};
  arguments.layerwise_lr_decay = 0.5;
  arguments.max_steps = 1;
  arguments.warmup_steps = 0;
  arguments.weight_decay = 0;
  const std::vector<std::pair<std::string, Tensor>>& parameters = model.parameters();
  std::vector<std::vector<float>> before;
  for (const auto& [name, tensor] : parameters) before.push_back(tensor.to_vector<float>());
  Trainer(model, arguments, rows_of(which), {.data_collator = std::make_shared<Collator>(true)}).train();
  // The first step of Adam moves every element by about the rate, wherever there is a gradient.
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, tensor] = parameters[i];
    const std::vector<float> after = tensor.to_vector<float>();
    double largest = 0;
    for (size_t k = 0; k < after.size(); ++k) largest = std::max<double>(largest, std::abs(after[k] - before[i][k]));
    const bool frozen = name.find("embeddings") != std::string::npos || name.find("layer.0.") != std::string::npos;
    const double rate = arguments.learning_rate * (name.find("layer.1.") != std::string::npos ? 0.5 : 1);
    if (frozen) {
      EXPECT_EQ(largest, 0) << name;
    } else if (!learns_noise(name)) {
      EXPECT_NEAR(largest, rate, 0.01 * rate) << name;
    }
  }
}

}  // namespace
}  // namespace mica
