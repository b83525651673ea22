// Two processes, as threads, train as one with twice the batch; share the optimizer; fail, stop and resume together.

#include "mica/tests/training/group.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <map>

#include <gtest/gtest.h>

#include "mica/autograd/random.h"
#include "mica/base/file.h"
#include "mica/models/auto/lora.h"
#include "mica/tests/support/tiny_model.h"
#include "mica/tests/training/learning.h"
#include "mica/training/checkpoint.h"
#include "mica/training/distributed/communicator.h"
#include "mica/training/optimizers/adamw.h"

namespace mica {
namespace {

using test::all_parameters;
using test::case_named;
using test::Collator;
using test::in_group;
using test::logged;
using test::model_of;
using test::rows_of;
using test::settings;

struct Result {
  TrainOutput output;
  TrainerState state;
  std::vector<float> parameters;
  std::string error;
};

using MakeModel = std::function<Model()>;

Model bert_with_dropout() {
  Config config = AutoConfig::from_json(case_named("bert").at("config").dump(), "learning.json");
  config.hidden_dropout_prob = 0.1;
  config.attention_probs_dropout_prob = 0.1;
  Model model = Model::from_config(config, Task::sequence_classification);
  golden::fill_by_rule(model);
  return model;
}

class TrainingGroupThreads : public ::testing::Test {
 protected:
  // What each rank ends with; `adjust` gives it other parts.
  std::vector<Result> train(int processes, const MakeModel& make, const TrainingArguments& arguments,
                            const Dataset& rows,
                            const std::function<void(int rank, TrainerParts* parts)>& adjust = nullptr,
                            bool ragged = true) {
    std::vector<Result> results(static_cast<size_t>(processes));
    const auto errors = in_group(processes, [&](const std::shared_ptr<Communicator>& group) {
      TrainerParts parts{.data_collator = std::make_shared<Collator>(ragged), .communicator = group};
      if (adjust) adjust(group->rank(), &parts);
      const Model model = make();
      Result& result = results[static_cast<size_t>(group->rank())];
      Trainer trainer(model, arguments, rows, parts);
      result.output = trainer.train();
      result.state = trainer.state();
      result.parameters = all_parameters(model);
    });
    for (size_t rank = 0; rank < results.size(); ++rank) results[rank].error = errors[rank];
    return results;
  }
  Result alone(const MakeModel& make, const TrainingArguments& arguments, const Dataset& rows, bool ragged = true) {
    return train(1, make, arguments, rows, nullptr, ragged)[0];
  }
  TrainingArguments arguments(int64_t batch, int64_t accumulate) {
    TrainingArguments made = settings(folder_.path());
    made.per_device_train_batch_size = batch;
    made.gradient_accumulation_steps = accumulate;
    made.train_sampling_strategy = SamplingStrategy::random;
    made.max_steps = 14;
    return made;
  }
  tiny::TemporaryFolder folder_;
};

// Each process's gradient is a term of the same sum that accumulation makes, dropout included.
TEST_F(TrainingGroupThreads, TwoAreTheBitsOfOneThatAccumulatesTwice) {
  const Dataset rows = rows_of(case_named("bert"));
  for (const OptimizerType optimizer :
       {OptimizerType::adamw_torch, OptimizerType::adafactor, OptimizerType::lion, OptimizerType::sgd}) {
    SCOPED_TRACE(static_cast<int>(optimizer));
    TrainingArguments together = arguments(2, 1), one = arguments(2, 2);
    together.optim = one.optim = optimizer;
    if (optimizer == OptimizerType::sgd) together.optim_args = one.optim_args = "momentum=0.9";
    together.include_num_input_tokens_seen = one.include_num_input_tokens_seen = true;
    const std::vector<Result> two = train(2, bert_with_dropout, together, rows);
    const Result wanted = alone(bert_with_dropout, one, rows);
    for (const Result& each : two) {
      EXPECT_EQ(each.error, "");
      EXPECT_EQ(each.parameters, wanted.parameters);
      EXPECT_EQ(logged(each.state, "loss"), logged(wanted.state, "loss"));
      EXPECT_EQ(logged(each.state, "grad_norm"), logged(wanted.state, "grad_norm"));
      EXPECT_EQ(each.state.num_input_tokens_seen, wanted.state.num_input_tokens_seen);
    }
  }
}

// Rows of unequal numbers of labels, tied weights, clipping, an epoch's last batch that one process has no rows of.
TEST_F(TrainingGroupThreads, TwoLearnAsOneWithTwiceTheBatch) {
  for (const char* type : {"roberta", "gpt2", "t5"}) {
    SCOPED_TRACE(type);
    const auto& which = case_named(type);
    const bool ragged = std::string(type) != "t5";
    const MakeModel make = [&] { return model_of(which); };
    const Dataset rows = rows_of(which);
    const std::vector<Result> two = train(2, make, arguments(2, 2), rows, nullptr, ragged);
    const Result wanted = alone(make, arguments(4, 2), rows, ragged);
    EXPECT_EQ(two[0].error, "");
    EXPECT_EQ(two[0].parameters, two[1].parameters);
    EXPECT_EQ(two[0].state.epoch, wanted.state.epoch);
    const std::vector<double> losses = logged(two[0].state, "loss"), want = logged(wanted.state, "loss");
    const std::vector<double> norms = logged(two[0].state, "grad_norm"), want_norms = logged(wanted.state, "grad_norm");
    ASSERT_EQ(losses.size(), 14U);
    ASSERT_EQ(want.size(), 14U);
    for (size_t i = 0; i < losses.size(); ++i) {
      EXPECT_NEAR(losses[i], want[i], 2e-5 * want[i]) << "step " << i;
      EXPECT_NEAR(norms[i], want_norms[i], 1e-3 * want_norms[i]) << "step " << i;
    }
  }
}

TEST_F(TrainingGroupThreads, ThreeWithCheckpointingFrozenLayersAndLengthsInGroups) {
  const Dataset rows = rows_of(case_named("bert"));
  TrainingArguments together = arguments(2, 1), one = arguments(2, 3);
  for (TrainingArguments* each : {&together, &one}) {
    each->freeze = {"embeddings", "layer.0."};
    each->train_sampling_strategy = SamplingStrategy::group_by_length;
    each->max_steps = 8;
  }
  const Result wanted = alone(bert_with_dropout, one, rows);
  together.gradient_checkpointing = true;
  const std::vector<Result> three = train(3, bert_with_dropout, together, rows);
  // This group adds in the order of ranks, as one process adds its batches.
  for (const Result& each : three) {
    EXPECT_EQ(each.error, "");
    EXPECT_EQ(each.parameters, wanted.parameters);
  }
}

TEST_F(TrainingGroupThreads, AdaptersLearnAsInOneProcess) {
  const Dataset rows = rows_of(case_named("bert"));
  const MakeModel make = [] {
    Model model = bert_with_dropout();
    manual_seed(5);
    add_adapter(model, {.r = 4, .target_modules = {"query", "value"}, .modules_to_save = {"classifier"}});
    return model;
  };
  TrainingArguments together = arguments(2, 1), one = arguments(2, 2);
  together.save_strategy = one.save_strategy = SaveStrategy::steps;
  together.output_dir = folder_ / "two";
  one.output_dir = folder_ / "one";
  const std::vector<Result> two = train(2, make, together, rows);
  const Result wanted = alone(make, one, rows);
  EXPECT_EQ(two[0].error, "");
  EXPECT_EQ(logged(two[0].state, "loss"), logged(wanted.state, "loss"));
  for (const char* file : {"adapter_model.safetensors", "optimizer.safetensors"}) {
    EXPECT_EQ(read_file(folder_ / ("two/checkpoint-14/" + std::string(file))),
              read_file(folder_ / ("one/checkpoint-14/" + std::string(file))));
  }
}

TEST_F(TrainingGroupThreads, AllStartWithTheSameValues) {
  std::atomic<int> made = 0;
  const MakeModel make = [&] {
    const Model model = model_of(case_named("bert"));
    if (made++ == 1) {
      for (const auto& [name, tensor] : model.parameters()) tensor.detach().fill_(0.5);
    }
    return model;
  };
  const auto two = train(2, make, arguments(2, 1), rows_of(case_named("bert")));
  EXPECT_EQ(two[0].error, "");
  EXPECT_EQ(two[0].parameters, two[1].parameters);
}

TEST_F(TrainingGroupThreads, CheckpointsAreResumedByAnyNumber) {
  const Dataset rows = rows_of(case_named("bert"));
  const auto in = [&](int64_t batch, int64_t accumulate, const std::string& folder) {
    TrainingArguments made = arguments(batch, accumulate);
    made.output_dir = folder_ / folder;
    made.logging_steps = 3;
    made.save_strategy = SaveStrategy::steps;
    made.save_steps = 7;
    return made;
  };
  const Result whole = alone(bert_with_dropout, in(2, 2, "one"), rows);
  const std::vector<Result> two = train(2, bert_with_dropout, in(2, 1, "two"), rows);
  ASSERT_EQ(two[0].error, "");
  // The same files, but for the batches of which the arguments tell.
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "scheduler.json"}) {
    EXPECT_EQ(read_file(folder_ / ("two/checkpoint-7/" + std::string(file))),
              read_file(folder_ / ("one/checkpoint-7/" + std::string(file))))
        << file;
  }
  TrainingArguments again = in(2, 2, "again");
  again.resume_from_checkpoint = checkpoint_folder(folder_ / "two", 7);
  const Result one_of_two = alone(bert_with_dropout, again, rows);
  EXPECT_EQ(one_of_two.error, "");
  EXPECT_EQ(one_of_two.parameters, whole.parameters);

  again = in(2, 1, "one");
  again.resume_from_checkpoint = checkpoint_folder(folder_ / "one", 7);
  const std::vector<Result> two_of_one = train(2, bert_with_dropout, again, rows);
  for (const Result& each : two_of_one) {
    EXPECT_EQ(each.error, "");
    EXPECT_EQ(each.parameters, whole.parameters);
  }
}

TEST_F(TrainingGroupThreads, OneEvaluatesAndAllStopWithTheBest) {
  const Dataset rows = rows_of(case_named("bert"));
  TrainingArguments made = arguments(2, 1);
  made.max_steps = -1;
  made.num_train_epochs = 10;
  made.eval_strategy = IntervalStrategy::epoch;
  made.save_strategy = SaveStrategy::epoch;
  made.save_total_limit = 1;
  made.load_best_model_at_end = true;
  made.metric_for_best_model = "luck";
  made.early_stopping_patience = 2;
  made.report_to = {"json"};
  const std::vector<double> luck{0.3, 0.7, 0.5, 0.6, 0.9};
  std::atomic<size_t> evaluations = 0;
  const auto two = train(
      2, [] { return model_of(case_named("bert")); }, made, rows,
      [&](int rank, TrainerParts* parts) {
        parts->eval_dataset = rows;
        parts->compute_metrics = [&, rank](const EvalPrediction&) {
          EXPECT_EQ(rank, 0);
          return LogEntry{{"luck", luck.at(evaluations++)}};
        };
      });
  EXPECT_EQ(evaluations, 4U);
  for (const Result& each : two) {
    EXPECT_EQ(each.error, "");
    EXPECT_EQ(each.output.global_step, 40);
    EXPECT_EQ(each.state.best_metric, 0.7);
    EXPECT_EQ(each.state.best_global_step, 20);
    EXPECT_EQ(logged(each.state, "eval_luck"), (std::vector<double>{0.3, 0.7, 0.5, 0.6}));
  }
  EXPECT_EQ(two[0].parameters, two[1].parameters);
  EXPECT_EQ(checkpoint_steps(folder_.path()), (std::vector<int64_t>{20, 40}));
  const Model best = AutoModelForSequenceClassification::from_pretrained(checkpoint_folder(folder_.path(), 20));
  EXPECT_EQ(two[1].parameters, all_parameters(best));
}

TEST_F(TrainingGroupThreads, AnInterruptOfOneStopsAll) {
  const auto two = train(
      2, [] { return model_of(case_named("bert")); }, arguments(2, 1), rows_of(case_named("bert")),
      [](int rank, TrainerParts* parts) {
        if (rank == 0) return;
        parts->interrupted = [asked = 0]() mutable { return ++asked == 5; };
      });
  for (const Result& each : two) {
    EXPECT_EQ(each.error, "");
    EXPECT_TRUE(each.output.interrupted);
    EXPECT_EQ(each.output.global_step, 5);
  }
  EXPECT_EQ(checkpoint_steps(folder_.path()), (std::vector<int64_t>{5}));
}

TEST_F(TrainingGroupThreads, AnErrorOfOneIsTheErrorOfAll) {
  TrainingArguments made = arguments(2, 1);
  made.save_strategy = SaveStrategy::steps;
  made.save_steps = 2;
  const Dataset rows = rows_of(case_named("bert"));
  const MakeModel make = [] { return model_of(case_named("bert")); };
  const auto nan = train(2, make, made, rows, [](int rank, TrainerParts* parts) {
    parts->compute_loss = [rank, calls = 0](const Model& model, const ModelInputs& inputs) mutable {
      const Tensor loss = model(inputs).loss;
      return rank == 1 && ++calls == 4 ? Tensor::full({}, std::numeric_limits<double>::quiet_NaN()) : loss;
    };
  });
  for (const Result& each : nan) EXPECT_NE(each.error.find("the loss of step 4 is not a number"), std::string::npos);
  EXPECT_EQ(nan[0].error, nan[1].error);
  EXPECT_EQ(checkpoint_steps(folder_.path()), (std::vector<int64_t>{2}));

  // A row that only one process reads, and one that has no folder to write to.
  std::vector<Example> wrong;
  for (int64_t i = 0; i < rows.size(); ++i) wrong.push_back(rows[i]);
  wrong[2].set("labels", 5);
  made.train_sampling_strategy = SamplingStrategy::sequential;
  const auto label = train(2, make, made, Dataset::from_list(wrong));
  EXPECT_NE(label[0].error, "");
  EXPECT_EQ(label[0].error, label[1].error);
  made.output_dir = "/dev/null/folder";
  const auto folder = train(2, make, made, rows);
  EXPECT_NE(folder[1].error.find("/dev/null/folder"), std::string::npos) << folder[1].error;
  EXPECT_EQ(folder[0].error, folder[1].error);
}

TEST_F(TrainingGroupThreads, ALostProcessEndsTheOthers) {
  TrainingArguments made = arguments(2, 1);
  made.save_strategy = SaveStrategy::steps;
  made.save_steps = 2;
  const Dataset rows = rows_of(case_named("bert"));
  const MakeModel make = [] { return model_of(case_named("bert")); };
  const auto two = train(2, make, made, rows, [](int rank, TrainerParts* parts) {
    if (rank == 0) return;
    parts->interrupted = [asked = 0]() mutable -> bool {
      if (++asked == 3) throw std::runtime_error("a crash");
      return false;
    };
  });
  EXPECT_NE(two[0].error.find("process 1 of the group"), std::string::npos) << two[0].error;
  EXPECT_NE(two[0].error.find("resume_from_checkpoint"), std::string::npos) << two[0].error;
  EXPECT_EQ(two[1].error, "a crash");
  EXPECT_EQ(checkpoint_steps(folder_.path()), (std::vector<int64_t>{2}));
  made.resume_from_checkpoint = "true";
  EXPECT_EQ(train(2, make, made, rows)[0].error, "");
}

TEST_F(TrainingGroupThreads, WhatCannotBeSharedIsRefused) {
  const Dataset rows = rows_of(case_named("bert"));
  const MakeModel make = [] { return model_of(case_named("bert")); };
  const auto few = train(2, make, arguments(38, 1), rows);
  EXPECT_NE(few[0].error.find("38 rows for 2 processes"), std::string::npos) << few[0].error;
  std::atomic<int> made = 0;
  const auto other = train(
      2, [&] { return model_of(case_named(made++ == 0 ? "bert" : "roberta")); }, arguments(2, 1), rows);
  EXPECT_NE(other[0].error.find("another model"), std::string::npos) << other[0].error;
}

TEST(OptimizerShare, KeepsTheStateOfItsOwnAlone) {
  const auto parameters = [] {
    std::vector<ParameterGroup> groups(2);
    for (const int i : {0, 1, 2}) {
      const Tensor each = Tensor::full({4}, 1 + i);
      each.set_requires_grad();
      each.set_grad(Tensor::full({4}, 0.5));
      groups[i == 2 ? 1 : 0].parameters.emplace_back("p" + std::to_string(i), each);
    }
    return groups;
  };
  AdamW whole(parameters(), {}), half(parameters(), {});
  half.set_share([](size_t parameter) { return parameter != 1; });
  for (Optimizer* each : {static_cast<Optimizer*>(&whole), static_cast<Optimizer*>(&half)}) each->step();
  const auto value = [](const Optimizer& optimizer, size_t i) {
    return optimizer.groups()[i / 2].parameters[i % 2].second.to_vector<float>();
  };
  EXPECT_EQ(value(half, 0), value(whole, 0));
  EXPECT_EQ(value(half, 1), std::vector<float>(4, 2));
  EXPECT_EQ(value(half, 2), value(whole, 2));
  EXPECT_EQ(whole.state().size(), 9U);
  EXPECT_EQ(half.state().size(), 6U);
  std::map<std::string, Tensor> visited;
  half.visit_state([&](const std::string& name, size_t, const Tensor& each) { visited.emplace(name, each); });
  EXPECT_EQ(visited.size(), 9U) << "the others' as room for them";
  EXPECT_EQ(visited.at("p1.step").item<int64_t>(), 1);
  half.load_state(whole.state(), "whole");
  EXPECT_EQ(half.state().size(), 6U);
}

}  // namespace
}  // namespace mica
