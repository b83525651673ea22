// Training by recorded steps: the bits of steps that are not, and one launch a step.

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "mica/autograd/random.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/emulate/arena.h"
#include "mica/kernels/cuda/emulate/runtime.h"
#include "mica/models/auto/auto_config.h"
#include "mica/models/auto/auto_model.h"
#include "mica/tests/emulate/support.h"
#include "mica/training/checkpoint.h"
#include "mica/training/trainer.h"

namespace mica::cuda {
namespace {

using namespace test;

constexpr Device kDevice{DeviceType::cuda, 0};

const char* const kGpt2 = R"({"model_type": "gpt2", "vocab_size": 40, "n_embd": 16, "n_head": 2, "n_positions": 12,
    "n_layer": 1, "initializer_range": 0.3, "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.2})";
const char* const kBert = R"({"model_type": "bert", "vocab_size": 40, "hidden_size": 16, "num_attention_heads": 2,
    "num_hidden_layers": 1, "intermediate_size": 32, "max_position_embeddings": 12, "initializer_range": 0.3,
    "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.2, "num_labels": 3})";
const char* const kLlama = R"({"model_type": "llama", "vocab_size": 40, "hidden_size": 16, "num_attention_heads": 2,
    "num_key_value_heads": 1, "num_hidden_layers": 1, "intermediate_size": 24, "max_position_embeddings": 12,
    "initializer_range": 0.3, "attention_dropout": 0.2})";
const char* const kRoberta = R"({"model_type": "roberta", "vocab_size": 40, "hidden_size": 16,
    "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32, "max_position_embeddings": 14,
    "pad_token_id": 1, "initializer_range": 0.3, "num_labels": 3})";
const char* const kMixtral = R"({"model_type": "mixtral", "vocab_size": 40, "hidden_size": 16,
    "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1, "intermediate_size": 24,
    "num_local_experts": 2, "num_experts_per_tok": 1, "max_position_embeddings": 12, "initializer_range": 0.3})";

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("mica_step_" + std::to_string(::getpid()))) {}
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::vector<int64_t> some_ids(int64_t row, int64_t length) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < length; ++i) ids.push_back((7 * row * row + 5 * i * i + 3 * row * i + 2 * i) % 38 + 2);
  return ids;
}

// Rows of these lengths, each its own label.
Dataset texts(const std::vector<int64_t>& lengths) {
  std::vector<Example> rows;
  for (const int64_t length : lengths) {
    Example row;
    const std::vector<int64_t> ids = some_ids(static_cast<int64_t>(rows.size()), length);
    row.set("input_ids", ids);
    row.set("labels", ids);
    rows.push_back(std::move(row));
  }
  return Dataset::from_list(rows);
}

// Of six tokens, some of which are padding: in the third batch none is.
Dataset padded(int64_t count) {
  std::vector<Example> rows;
  for (int64_t i = 0; i < count; ++i) {
    Example row;
    const int64_t shown = i == 4 || i == 5 ? 6 : 3 + i % 4;
    std::vector<int64_t> mask(6, 0);
    for (int64_t k = 0; k < shown; ++k) mask[static_cast<size_t>(k)] = 1;
    row.set("input_ids", some_ids(i, 6));
    row.set("token_type_ids", std::vector<int64_t>{0, 0, i % 2, 1, 1, i % 2});
    row.set("attention_mask", mask);
    row.set("labels", i % 3);
    rows.push_back(std::move(row));
  }
  return Dataset::from_list(rows);
}

std::vector<int64_t> lengths(size_t count, int64_t length = 6) {
  return std::vector<int64_t>(count, length);
}

// Counts what is put on the stream in each step.
class Launches : public TrainerCallback {
 public:
  void on_step_begin(const TrainerContext&) override { before_ = launch_count(); }
  void on_step_end(const TrainerContext&) override { counts.push_back(launch_count() - before_); }
  std::vector<int64_t> counts;

 private:
  int64_t before_ = 0;
};

Model model_of(const char* config, Task task) {
  manual_seed(3);
  return Model::from_config(AutoConfig::from_json(config, "test"), task, {.device = kDevice});
}

struct Trained {
  std::vector<double> losses, norms, evaluations;
  std::vector<float> parameters;
  std::vector<int64_t> launches;
};

std::vector<double> logged(const TrainerState& state, const std::string& name) {
  std::vector<double> values;
  for (const LogEntry& entry : state.log_history) {
    if (const auto value = find(entry, name)) values.push_back(*value);
  }
  return values;
}

std::vector<float> parameters_of(const Model& model) {
  std::vector<float> all;
  for (const auto& [name, tensor] : model.parameters()) {
    const std::vector<float> values = tensor.to_vector<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

class RecordedTraining : public ::testing::Test {
 protected:
  TrainingArguments settings(int64_t steps) const {
    TrainingArguments arguments;
    arguments.output_dir = folder_ / "run";
    arguments.per_device_train_batch_size = 2;
    arguments.max_steps = steps;
    arguments.warmup_steps = 3;
    arguments.learning_rate = 0.02;
    arguments.weight_decay = 0.1;
    arguments.max_grad_norm = 0.5;
    arguments.train_sampling_strategy = SamplingStrategy::sequential;
    arguments.logging_steps = 1;
    arguments.save_strategy = SaveStrategy::no;
    return arguments;
  }

  static Trained run(const Model& model, const TrainingArguments& arguments, const Dataset& rows,
                     TrainerParts parts = {}) {
    const auto launches = std::make_shared<Launches>();
    parts.callbacks.push_back(launches);
    if (!parts.data_collator) parts.data_collator = std::make_shared<DefaultDataCollator>();
    Trainer trainer(model, arguments, rows, parts);
    trainer.train();
    return {logged(trainer.state(), "loss"), logged(trainer.state(), "grad_norm"), logged(trainer.state(), "eval_loss"),
            parameters_of(model), launches->counts};
  }
  static Trained run(const char* config, Task task, const TrainingArguments& arguments, const Dataset& rows,
                     const TrainerParts& parts = {}) {
    return run(model_of(config, task), arguments, rows, parts);
  }
  static Trained without(const char* config, Task task, const TrainingArguments& arguments, const Dataset& rows,
                         const TrainerParts& parts = {}) {
    ::setenv("MICA_CUDA_GRAPHS", "0", 1);
    Trained result = run(config, task, arguments, rows, parts);
    ::unsetenv("MICA_CUDA_GRAPHS");
    return result;
  }
  static void expect_same(const Trained& have, const Trained& wanted) {
    EXPECT_FALSE(wanted.losses.empty());
    EXPECT_EQ(have.losses, wanted.losses);
    EXPECT_EQ(have.norms, wanted.norms);
    EXPECT_EQ(have.evaluations, wanted.evaluations);
    EXPECT_EQ(have.parameters, wanted.parameters);
  }
  // The same either way, and never started as a whole.
  static void expect_unrecorded(const char* config, Task task, const TrainingArguments& arguments, const Dataset& rows,
                                const TrainerParts& parts = {}) {
    const Trained have = run(config, task, arguments, rows, parts);
    expect_same(have, without(config, task, arguments, rows, parts));
    for (const int64_t each : have.launches) EXPECT_GT(each, 20);
  }

  Folder folder_;
};

TEST_F(RecordedTraining, OfGpt2) {
  const Dataset rows = texts(lengths(10));
  const Trained have = run(kGpt2, Task::causal_lm, settings(7), rows);
  const Trained wanted = without(kGpt2, Task::causal_lm, settings(7), rows);
  expect_same(have, wanted);
  ASSERT_EQ(have.launches.size(), 7U);
  for (size_t i = 2; i < 7; ++i) {
    EXPECT_EQ(have.launches[i], 1);
    EXPECT_GT(wanted.launches[i], 40);
  }
  // Clipped and not, and nothing that stands still would pass.
  EXPECT_GT(wanted.norms[0], 0.5);
  for (size_t i = 1; i < 7; ++i) EXPECT_NE(wanted.losses[i], wanted.losses[i - 1]);
}

TEST_F(RecordedTraining, OfGpt2WithoutClipping) {
  TrainingArguments arguments = settings(5);
  arguments.max_grad_norm = 0;
  arguments.logging_steps = 2;
  const Dataset rows = texts(lengths(10));
  const Trained have = run(kGpt2, Task::causal_lm, arguments, rows);
  expect_same(have, without(kGpt2, Task::causal_lm, arguments, rows));
  EXPECT_EQ(have.launches.back(), 1);
}

TEST_F(RecordedTraining, OfGpt2InBfloat16) {
  TrainingArguments arguments = settings(5);
  arguments.bf16 = true;
  const Dataset rows = texts(lengths(10));
  const Trained have = run(kGpt2, Task::causal_lm, arguments, rows);
  expect_same(have, without(kGpt2, Task::causal_lm, arguments, rows));
  EXPECT_EQ(have.launches.back(), 1);
}

// Masks differ from batch to batch; a batch without padding is another shape.
TEST_F(RecordedTraining, OfBert) {
  const Trained have = run(kBert, Task::sequence_classification, settings(9), padded(10));
  expect_same(have, without(kBert, Task::sequence_classification, settings(9), padded(10)));
  ASSERT_EQ(have.launches.size(), 9U);
  for (const size_t i : {3, 4, 5, 6, 8}) EXPECT_EQ(have.launches[i], 1) << i;
  for (const size_t i : {2, 7}) EXPECT_GT(have.launches[i], 40) << i;
}

TEST_F(RecordedTraining, OfOtherModelsAndHeads) {
  std::vector<Example> tags, scores;
  for (int64_t i = 0; i < 10; ++i) {
    Example row;
    row.set("input_ids", some_ids(i, 6));
    row.set("labels", std::vector<int64_t>{-100, i % 3, 1, 2, i % 2 == 0 ? -100 : 0, -100});
    tags.push_back(row);
    row.set("labels", 0.25 * static_cast<double>(i));
    scores.push_back(std::move(row));
  }
  const std::string bert = kBert;
  const std::string one = bert.substr(0, bert.rfind("\"num_labels\"")) + R"("num_labels": 1})";
  const struct {
    const char* config;
    Task task;
    Dataset rows;
  } cases[] = {{kLlama, Task::causal_lm, texts(lengths(10))},
               {kMixtral, Task::causal_lm, texts(lengths(10))},
               {kBert, Task::token_classification, Dataset::from_list(tags)},
               {one.c_str(), Task::sequence_classification, Dataset::from_list(scores)}};
  for (const auto& each : cases) {
    SCOPED_TRACE(each.config + std::string(name(each.task)));
    const Trained have = run(each.config, each.task, settings(4), each.rows);
    expect_same(have, without(each.config, each.task, settings(4), each.rows));
    EXPECT_EQ(have.launches[2], 1);
    EXPECT_EQ(have.launches[3], 1);
  }
}

TEST_F(RecordedTraining, OfMultipleChoice) {
  class Choices : public DataCollator {
    ModelInputs collate(std::span<const Example> rows, const BatchContext&) const override {
      std::vector<int64_t> ids, labels;
      for (const Example& row : rows) {
        const auto values = row["input_ids"].as_ints();
        ids.insert(ids.end(), values.begin(), values.end());
        labels.push_back(values[0] % 2);
      }
      ModelInputs inputs;
      inputs.input_ids = Tensor::from(ids, {static_cast<int64_t>(labels.size()), 2, 4});
      inputs.labels = Tensor::from(labels);
      return inputs;
    }
  };
  const TrainerParts parts{.data_collator = std::make_shared<Choices>()};
  const Dataset rows = texts(lengths(8, 8));
  const Trained have = run(kBert, Task::multiple_choice, settings(4), rows, parts);
  expect_same(have, without(kBert, Task::multiple_choice, settings(4), rows, parts));
  EXPECT_EQ(have.launches[3], 1);
}

TEST_F(RecordedTraining, OfShapesThatComeBack) {
  std::vector<int64_t> all;
  for (const int64_t length : {6, 8, 6, 8, 8, 6, 5, 6}) all.insert(all.end(), 2, length);
  TrainingArguments arguments = settings(8);
  arguments.logging_steps = 3;
  const Trained have = run(kGpt2, Task::causal_lm, arguments, texts(all));
  expect_same(have, without(kGpt2, Task::causal_lm, arguments, texts(all)));
  EXPECT_EQ(have.launches[4], 1);
  EXPECT_EQ(have.launches[5], 1);
  EXPECT_GT(have.launches[6], 40);
  EXPECT_EQ(have.launches[7], 2) << "the loss so far is another tensor, once";
}

TEST_F(RecordedTraining, KeepsFourShapes) {
  std::vector<int64_t> all;
  for (int round = 0; round < 3; ++round) {
    for (const int64_t length : {2, 3, 4, 5, 6}) all.insert(all.end(), 2, length);
  }
  const Trained have = run(kGpt2, Task::causal_lm, settings(15), texts(all));
  expect_same(have, without(kGpt2, Task::causal_lm, settings(15), texts(all)));
  for (size_t i = 10; i < 14; ++i) EXPECT_EQ(have.launches[i], 1) << i;
  EXPECT_GT(have.launches[14], 40);
}

// Parameters that a callback moves, or freezes.
TEST_F(RecordedTraining, FollowsItsParameters) {
  class Moves : public TrainerCallback {
   public:
    void on_step_end(const TrainerContext& context) override {
      for (const auto& [name, tensor] : context.model.parameters()) {
        if (!name.ends_with("wpe.weight")) continue;
        if (context.state.global_step == 4) {
          old_ = tensor.detach();
          tensor.set_data(old_.clone());
        }
        if (context.state.global_step == 7) tensor.set_requires_grad(false);
      }
    }

   private:
    Tensor old_;  // which the recording still moves
  };
  const Dataset rows = texts(lengths(20));
  const auto parts = [] { return TrainerParts{.callbacks = {std::make_shared<Moves>()}}; };
  const Trained have = run(kGpt2, Task::causal_lm, settings(10), rows, parts());
  expect_same(have, without(kGpt2, Task::causal_lm, settings(10), rows, parts()));
  for (const size_t i : {2, 5, 6, 8, 9}) EXPECT_EQ(have.launches[i], 1) << i;
  for (const size_t i : {4, 7}) EXPECT_GT(have.launches[i], 40) << i;
}

// Training multiplies by query, key and value at once, and moves them side by side for it: not while it is recorded.
TEST_F(RecordedTraining, LosesNoParametersThatHaveToMove) {
  class Moves : public TrainerCallback {
   public:
    void on_step_end(const TrainerContext& context) override {
      if (context.state.global_step != 4) return;
      for (const auto& [name, tensor] : context.model.parameters()) {
        if (name.ends_with("key.weight")) tensor.set_data(tensor.detach().clone());
      }
    }
  };
  const auto parts = [] { return TrainerParts{.callbacks = {std::make_shared<Moves>()}}; };
  expect_same(run(kBert, Task::sequence_classification, settings(7), padded(4), parts()),
              without(kBert, Task::sequence_classification, settings(7), padded(4), parts()));
}

// Rows one after the other, without padding.
TEST_F(RecordedTraining, OfRaggedBatches) {
  class Joins : public DataCollator {
    ModelInputs collate(std::span<const Example> rows, const BatchContext&) const override {
      std::vector<int64_t> ids;
      ModelInputs inputs;
      for (const Example& row : rows) {
        const auto values = row["input_ids"].as_ints();
        ids.insert(ids.end(), values.begin(), values.end());
        inputs.lengths.push_back(static_cast<int64_t>(values.size()));
      }
      inputs.input_ids = Tensor::from(ids);
      inputs.labels = inputs.input_ids;
      return inputs;
    }
  };
  const TrainerParts parts{.data_collator = std::make_shared<Joins>()};
  // Batches of 10 tokens, cut in two ways.
  const Dataset rows = texts({6, 4, 6, 4, 5, 5, 6, 4, 1, 9, 6, 4});
  const Trained have = run(kGpt2, Task::causal_lm, settings(6), rows, parts);
  expect_same(have, without(kGpt2, Task::causal_lm, settings(6), rows, parts));
  for (const size_t i : {3, 5}) EXPECT_EQ(have.launches[i], 1) << i;
  for (const size_t i : {2, 4}) EXPECT_GT(have.launches[i], 40) << i;
}

// Each batch draws numbers of its own, and counts by its part of all labels.
TEST_F(RecordedTraining, OfAccumulatedBatches) {
  class Counts : public TrainerCallback {
   public:
    void on_substep_end(const TrainerContext&) override { ++substeps; }
    int64_t substeps = 0;
  };
  TrainingArguments arguments = settings(6);
  arguments.gradient_accumulation_steps = 3;
  arguments.per_device_train_batch_size = 1;
  const std::vector<std::pair<Dataset, int64_t>> cases{
      {texts(lengths(18)), 2},
      // Steps of two shapes, in turn.
      {texts({6, 4, 5, 6, 6, 6, 6, 4, 5, 6, 6, 6, 6, 4, 5, 6, 6, 6}), 4}};
  for (const auto& [rows, unrecorded] : cases) {
    const auto counts = std::make_shared<Counts>();
    const Trained have = run(kGpt2, Task::causal_lm, arguments, rows, {.callbacks = {counts}});
    expect_same(have, without(kGpt2, Task::causal_lm, arguments, rows));
    EXPECT_EQ(counts->substeps, 12);
    ASSERT_EQ(have.launches.size(), 6U);
    for (size_t i = 0; i < 6; ++i) EXPECT_EQ(have.launches[i] == 1, i >= static_cast<size_t>(unrecorded)) << i;
  }
}

TEST_F(RecordedTraining, IsSavedAndResumed) {
  const Dataset rows = texts(lengths(10));
  TrainingArguments arguments = settings(8);
  const Trained wanted = without(kGpt2, Task::causal_lm, arguments, rows);
  arguments.save_strategy = SaveStrategy::steps;
  arguments.save_steps = 4;
  expect_same(run(kGpt2, Task::causal_lm, arguments, rows), wanted);
  arguments.resume_from_checkpoint = checkpoint_folder(arguments.output_dir, 4);
  arguments.output_dir = folder_ / "again";
  arguments.save_strategy = SaveStrategy::no;
  const Trained again = run(kGpt2, Task::causal_lm, arguments, rows);
  EXPECT_EQ(again.parameters, wanted.parameters);
  EXPECT_EQ(again.losses, wanted.losses);
  EXPECT_EQ(again.launches.back(), 1);
}

// Which packs weights, and works in the memory that the recording had.
TEST_F(RecordedTraining, GoesOnAfterAnEvaluation) {
  const Dataset rows = texts(lengths(10));
  TrainingArguments arguments = settings(8);
  arguments.eval_strategy = IntervalStrategy::steps;
  arguments.eval_steps = 3;
  const TrainerParts parts{.eval_dataset = texts({6, 6, 7, 7})};
  TrainingArguments large = arguments;
  large.per_device_eval_batch_size = 2;
  const Trained have = run(kGpt2, Task::causal_lm, large, rows, parts);
  const Trained wanted = without(kGpt2, Task::causal_lm, large, rows, parts);
  EXPECT_EQ(wanted.evaluations.size(), 2U);
  expect_same(have, wanted);
  EXPECT_EQ(have.launches.back(), 1);
}

// Whatever is free is written to between two steps.
class Disturbs : public TrainerCallback {
 public:
  void on_step_end(const TrainerContext&) override {
    others_.clear();
    for (const int64_t size : {1, 2, 3, 12, 16, 32, 48, 96, 192, 512, 768}) {
      for (int i = 0; i < 4; ++i) others_.push_back(Tensor::full({size}, NAN, DType::float32, kDevice));
    }
    backend(kDevice).queue().workspace(int64_t{1} << (12 + others_.size() % 3));
  }

 private:
  std::vector<Tensor> others_;
};

TEST_F(RecordedTraining, KeepsToItsMemoryAndGivesItBack) {
  const Dataset rows = texts(lengths(10));
  const Model model = model_of(kGpt2, Task::causal_lm);
  const auto used = [] { return static_cast<CudaMemory&>(backend(kDevice).memory()).used(); };
  static_cast<void>(run(model, settings(1), rows));  // parameters lie side by side from here on
  const int64_t before = used();
  static_cast<void>(run(model, settings(5), rows));
  EXPECT_EQ(used(), before);
  const TrainerParts parts{.callbacks = {std::make_shared<Disturbs>()}};
  expect_same(run(kGpt2, Task::causal_lm, settings(6), rows, parts),
              without(kGpt2, Task::causal_lm, settings(6), rows));
}

// A step of another shape for which there is no memory beside the recording.
TEST_F(RecordedTraining, MakesWayWhereMemoryIsShort) {
  class Limit : public TrainerCallback {
   public:
    explicit Limit(int64_t bytes) : bytes_(bytes) {}
    void on_step_end(const TrainerContext& context) override {
      if (context.state.global_step == 4 && bytes_ > 0) emulate::limit_memory(emulate::arena_used() + bytes_);
    }

   private:
    int64_t bytes_;
  };
  std::vector<int64_t> all = lengths(8, 12);
  for (const int64_t length : {11, 12, 12}) all.insert(all.end(), 2, length);
  const Trained wanted = without(kGpt2, Task::causal_lm, settings(7), texts(all));
  for (const int64_t bytes : {0, 6000}) {
    const Trained have =
        run(kGpt2, Task::causal_lm, settings(7), texts(all), {.callbacks = {std::make_shared<Limit>(bytes)}});
    emulate::limit_memory(std::numeric_limits<int64_t>::max());
    expect_same(have, wanted);
    EXPECT_EQ(have.launches[3], 1);
    // Where there was room the recording is still there.
    EXPECT_EQ(have.launches[5] <= 2, bytes == 0) << have.launches[5];
  }
}

// ---- what is not recorded

TEST_F(RecordedTraining, LeavesOtherOptimizersAlone) {
  TrainingArguments arguments = settings(4);
  arguments.optim = OptimizerType::lion;
  expect_unrecorded(kGpt2, Task::causal_lm, arguments, texts(lengths(8)));
}

TEST_F(RecordedTraining, LeavesSmoothedLabelsAlone) {
  TrainingArguments arguments = settings(4);
  arguments.label_smoothing_factor = 0.1;
  expect_unrecorded(kGpt2, Task::causal_lm, arguments, texts(lengths(8)));
}

// The host makes its positions of what is padding.
TEST_F(RecordedTraining, LeavesAloneWhatTheHostLooksAt) {
  expect_unrecorded(kRoberta, Task::sequence_classification, settings(4), padded(8));
}

// As many rows as there are labels are multiplied by the vocabulary.
TEST_F(RecordedTraining, LeavesTokensWithoutLabelsAlone) {
  std::vector<Example> rows;
  for (int64_t i = 0; i < 8; ++i) {
    Example row;
    std::vector<int64_t> labels = some_ids(i, 6);
    for (size_t k = 0; k < 6; ++k) labels[k] = (k + static_cast<size_t>(i)) % 3 == 0 ? labels[k] : -100;
    row.set("input_ids", some_ids(i + 1, 6));
    row.set("labels", labels);
    rows.push_back(std::move(row));
  }
  expect_unrecorded(kBert, Task::masked_lm, settings(4), Dataset::from_list(rows));
}

TEST_F(RecordedTraining, LeavesGradientsToCallbacks) {
  class Watches : public TrainerCallback {
   public:
    void on_pre_optimizer_step(const TrainerContext& context) override {
      for (const auto& [name, tensor] : context.model.parameters()) seen += tensor.grad().defined() ? 1 : 0;
    }
    int64_t seen = 0;
  };
  const auto watches = std::make_shared<Watches>();
  const Model model = model_of(kGpt2, Task::causal_lm);
  const Trained have = run(model, settings(4), texts(lengths(8)), {.callbacks = {watches}});
  EXPECT_EQ(watches->seen, 4 * static_cast<int64_t>(model.parameters().size()));
  for (const int64_t each : have.launches) EXPECT_GT(each, 40);
}

// ---- what goes wrong

TEST_F(RecordedTraining, WrongIdsAndLabelsAreErrorsBeforeAnythingMoves) {
  for (const char* column : {"input_ids", "labels"}) {
    SCOPED_TRACE(column);
    std::vector<Example> rows;
    for (int64_t i = 0; i < 12; ++i) {
      Example row;
      for (const char* each : {"input_ids", "labels"}) {
        std::vector<int64_t> values = some_ids(i, 6);
        if (i == 9 && std::string(each) == column) values[3] = 40;
        row.set(each, values);
      }
      rows.push_back(std::move(row));
    }
    const Model model = model_of(kGpt2, Task::causal_lm);
    const std::string error = error_of([&] { run(model, settings(6), Dataset::from_list(rows)); });
    EXPECT_NE(error.find(" 40 is outside the "), std::string::npos) << error;
    class StopsAfterFour : public TrainerCallback {
     public:
      void on_step_end(const TrainerContext& context) override {
        context.control.should_training_stop = context.state.global_step == 4;
      }
    };
    rows.resize(8);
    const Trained four = run(kGpt2, Task::causal_lm, settings(6), Dataset::from_list(rows),
                             {.callbacks = {std::make_shared<StopsAfterFour>()}});
    EXPECT_EQ(parameters_of(model), four.parameters);
  }
}

TEST_F(RecordedTraining, GradientsThatAreNoNumbersMoveNothing) {
  class Spoils : public TrainerCallback {
   public:
    void on_step_end(const TrainerContext& context) override {
      if (context.state.global_step != 4) return;
      for (const auto& [name, tensor] : context.model.parameters()) {
        if (name.ends_with("wpe.weight")) tensor.detach().fill_(NAN);
        if (name.ends_with("wte.weight")) kept = tensor.to_vector<float>();
      }
    }
    std::vector<float> kept;
  };
  const auto spoils = std::make_shared<Spoils>();
  const Model model = model_of(kGpt2, Task::causal_lm);
  const std::string error = error_of([&] { run(model, settings(6), texts(lengths(12)), {.callbacks = {spoils}}); });
  EXPECT_NE(error.find("the loss of step 5 is not a number"), std::string::npos) << error;
  for (const auto& [name, tensor] : model.parameters()) {
    if (name.ends_with("wte.weight")) {
      EXPECT_EQ(tensor.to_vector<float>(), spoils->kept);
    }
  }
}

}  // namespace
}  // namespace mica::cuda
