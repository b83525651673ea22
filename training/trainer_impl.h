#pragma once
// The inside of a Trainer.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mica/training/data_loader.h"
#include "mica/training/distributed/communicator.h"
#include "mica/training/distributed/gradient_buckets.h"
#include "mica/training/parameter_groups.h"
#include "mica/training/recorded_training.h"
#include "mica/training/schedule.h"
#include "mica/training/trainer.h"

namespace mica {

/// How a run is divided: batches of an epoch, steps of an epoch, epochs and steps in all.
struct RunPlan {
  int64_t rows = 0;
  int64_t batches_per_epoch = 0;
  int64_t steps_per_epoch = 0;
  int64_t max_steps = 0;
  int64_t epochs = 0;  ///< begun
};

/// The batches of one step that this process computes.
struct StepBatches {
  std::vector<ModelInputs> batches;
  std::vector<int64_t> items;  ///< that each one's loss is the mean of
  int64_t all_items = 1;       ///< of all batches, of all processes
  int64_t all_batches = 0;
};

struct Trainer::Impl {
  Model model;
  TrainingArguments arguments;
  TrainerParts options;
  std::optional<Dataset> train_dataset;
  std::shared_ptr<const DataCollator> collator;
  TrainerState state;
  TrainerControl control;
  std::unique_ptr<Optimizer> optimizer;
  std::optional<Schedule> schedule;
  std::shared_ptr<Communicator> group;         // null: this process alone
  std::unique_ptr<GradientBuckets> buckets;    // of the group, while it trains
  std::unique_ptr<RecordedTraining> recorded;  // while it trains; null: no step is
  std::chrono::steady_clock::time_point start{};
  Tensor unread_loss;        // state.loss_since_log as a device has it, where nobody waited for it since
  bool in_training = false;  // what an evaluation in between returns the model to

  Impl(Model m, TrainingArguments a, TrainerParts o);

  // trainer.cpp: the run.
  RunPlan plan() const;
  void prepare(const RunPlan& plan);
  TrainOutput train();
  bool run_epoch(const RunPlan& plan, const DataLoader& loader, int64_t epoch, int64_t first_step);
  NamedTensors trained_parameters() const;
  void zero_grad() const;
  void log_save_evaluate(double gradient_norm, double learning_rate);
  void log(LogEntry entry);

  // trainer_step.cpp: one step.
  double step(StepBatches taken);
  double step_unrecorded(StepBatches taken);
  std::optional<double> step_recorded(const StepBatches& taken);
  std::unique_ptr<RecordedTraining> recorded_training();
  double differentiate(StepBatches* taken);
  Tensor loss_of(const ModelInputs& batch) const;
  void read_loss(int64_t step);
  void check_norm(double norm);

  // trainer_group.cpp: what several processes do together. All of it is nothing, or plain, without a group.
  TrainOutput train_in_group();
  bool is_first() const { return rank_of(group) == 0; }
  void join(const RunPlan& plan);
  void share_values() const;
  double differentiate_together(StepBatches* taken);
  bool share_control(bool interrupted = false);
  NamedTensors optimizer_state() const;
  LogEntry share_metrics(const LogEntry& metrics) const;

  // trainer_data.cpp.
  StepBatches take_batches(BatchStream* stream, int64_t count);
  DataLoader training_loader() const;
  DataLoader evaluation_loader(const Dataset& dataset) const;

  // trainer_saving.cpp: what stays.
  void save_checkpoint();
  void resume(const RunPlan& plan);
  void load_checkpoint(const RunPlan& plan, const std::string& folder);
  void load_best();
  void save_model(const std::string& folder) const;
  void load_model(const std::string& folder) const;

  // trainer_evaluation.cpp.
  LogEntry evaluate(const Dataset& dataset, const std::string& prefix);
  PredictionOutput predict(const Dataset& dataset, const std::string& prefix, bool loss_only);

  TrainerContext context() { return {arguments, state, control, model}; }
  template <typename... Parameters, typename... Values>
  void notify(void (TrainerCallback::*event)(const TrainerContext&, Parameters...), const Values&... values) {
    for (const auto& callback : callbacks) ((*callback).*event)(context(), values...);
  }
  // By all processes, which go on only if the callbacks of all went well.
  template <typename... Parameters, typename... Values>
  void announce(void (TrainerCallback::*event)(const TrainerContext&, Parameters...), const Values&... values) {
    together(group, [&] { notify(event, values...); });
  }
  Callbacks callbacks;
};

}  // namespace mica
