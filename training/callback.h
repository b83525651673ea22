#pragma once
// TrainerCallback: what may look on, and interfere, while a Trainer trains.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/training/trainer_state.h"
#include "mica/training/training_arguments.h"

namespace mica {

/// What the Trainer does next; callbacks set these.
struct TrainerControl {
  bool should_log = false;
  bool should_evaluate = false;
  bool should_save = false;
  bool should_epoch_stop = false;
  bool should_training_stop = false;
};

/// What a callback is shown.
struct TrainerContext {
  const TrainingArguments& arguments;
  TrainerState& state;
  TrainerControl& control;
  const Model& model;
};

/// Called from the thread that trains. An exception ends the training.
class TrainerCallback {
 public:
  virtual ~TrainerCallback() = default;
  virtual void on_train_begin(const TrainerContext&) {}
  virtual void on_epoch_begin(const TrainerContext&) {}
  virtual void on_step_begin(const TrainerContext&) {}
  /// After each batch that does not yet make a step.
  virtual void on_substep_end(const TrainerContext&) {}
  /// With all gradients there. A Trainer that replays whole steps on a GPU (docs/cuda.md) does so only while all its
  /// callbacks leave this to be what it is here.
  virtual void on_pre_optimizer_step(const TrainerContext&) { ignores_gradients_ = true; }
  /// Known after the first step: nothing is done between a step's gradients and the move by them.
  bool ignores_gradients() const { return ignores_gradients_; }
  virtual void on_step_end(const TrainerContext&) {}
  virtual void on_epoch_end(const TrainerContext&) {}
  /// `entry` is the newest of state.log_history.
  virtual void on_log(const TrainerContext&, const LogEntry& /*entry*/) {}
  virtual void on_evaluate(const TrainerContext&, const LogEntry& /*metrics*/) {}
  /// After each batch of an evaluation: batches done, batches in all.
  virtual void on_prediction_step(const TrainerContext&, int64_t /*done*/, int64_t /*total*/) {}
  /// `folder` is the new checkpoint.
  virtual void on_save(const TrainerContext&, const std::string& /*folder*/) {}
  virtual void on_train_end(const TrainerContext&) {}

 private:
  bool ignores_gradients_ = false;
};

using Callbacks = std::vector<std::shared_ptr<TrainerCallback>>;

/// Sets control.should_log, should_evaluate and should_save as the arguments' strategies say.
class StrategyCallback : public TrainerCallback {
 public:
  void on_step_end(const TrainerContext& context) override;
  void on_epoch_end(const TrainerContext& context) override;
};

/// Stops once `patience` evaluations in a row were not better than the best one by more than `threshold`. The metric is
/// arguments.metric_for_best_model.
class EarlyStoppingCallback : public TrainerCallback {
 public:
  explicit EarlyStoppingCallback(int64_t patience, double threshold = 0) : patience_(patience), threshold_(threshold) {}
  void on_evaluate(const TrainerContext& context, const LogEntry& metrics) override;

 private:
  int64_t patience_;
  double threshold_;
};

/// The name under which an evaluation reports the metric for the best model ("eval_loss"), and whether more is better.
std::string best_metric_name(const TrainingArguments& arguments);
bool greater_is_better(const TrainingArguments& arguments);

}  // namespace mica
