#pragma once
// The inside of a Trainer.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mica/training/data_loader.h"
#include "mica/training/parameter_groups.h"
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
  std::chrono::steady_clock::time_point start{};
  bool in_training = false;  // what an evaluation in between returns the model to

  Impl(Model m, TrainingArguments a, TrainerParts o);

  // trainer.cpp: the run.
  RunPlan plan() const;
  TrainOutput train();
  bool run_epoch(const RunPlan& plan, const DataLoader& loader, int64_t epoch, int64_t first_step);
  double step(std::vector<ModelInputs> batches);
  NamedTensors trained_parameters() const;
  void zero_grad() const;
  Tensor loss_of(const ModelInputs& batch) const;
  void log_save_evaluate(double gradient_norm, double learning_rate);
  void log(LogEntry entry);

  // trainer_data.cpp.
  DataLoader training_loader() const;
  DataLoader evaluation_loader(const Dataset& dataset) const;

  // trainer_saving.cpp: what stays.
  void save_checkpoint();
  void resume(const RunPlan& plan);
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
  Callbacks callbacks;
};

}  // namespace mica
