#include "mica/training/callback.h"

#include <algorithm>
#include <cmath>

#include "mica/base/error.h"

namespace mica {

namespace {

bool is_turn(int64_t step, int64_t every) {
  return every > 0 && step % every == 0;
}

// Whether the delay before evaluations is over, counted as the strategy counts.
bool may_evaluate(const TrainerContext& context) {
  const TrainingArguments& a = context.arguments;
  const double done =
      a.eval_strategy == IntervalStrategy::epoch ? context.state.epoch : static_cast<double>(context.state.global_step);
  return a.eval_delay <= done + 1e-9;
}

}  // namespace

void StrategyCallback::on_step_end(const TrainerContext& context) {
  const TrainingArguments& a = context.arguments;
  const TrainerState& state = context.state;
  TrainerControl& control = context.control;
  const int64_t step = state.global_step;
  if (step == 1 && a.logging_first_step) control.should_log = true;
  if (a.logging_strategy == IntervalStrategy::steps && is_turn(step, state.logging_steps)) control.should_log = true;
  if (a.eval_strategy == IntervalStrategy::steps && is_turn(step, state.eval_steps) && may_evaluate(context)) {
    control.should_evaluate = true;
  }
  if (a.save_strategy == SaveStrategy::steps && is_turn(step, state.save_steps)) control.should_save = true;
  if (step < state.max_steps) return;
  control.should_training_stop = true;
  if (a.save_strategy == SaveStrategy::steps) control.should_save = true;
}

void StrategyCallback::on_epoch_end(const TrainerContext& context) {
  const TrainingArguments& a = context.arguments;
  TrainerControl& control = context.control;
  if (a.logging_strategy == IntervalStrategy::epoch) control.should_log = true;
  if (a.eval_strategy == IntervalStrategy::epoch && may_evaluate(context)) control.should_evaluate = true;
  if (a.save_strategy == SaveStrategy::epoch) control.should_save = true;
}

void EarlyStoppingCallback::on_evaluate(const TrainerContext& context, const LogEntry& metrics) {
  const std::string wanted = best_metric_name(context.arguments);
  const std::optional<double> value = find(metrics, wanted);
  if (!value) return;  // the Trainer says what is missing
  TrainerState& state = context.state;
  const bool better =
      !state.best_metric ||
      ((greater_is_better(context.arguments) ? *value > *state.best_metric : *value < *state.best_metric) &&
       std::abs(*value - *state.best_metric) > threshold_);
  state.evaluations_without_improvement = better ? 0 : state.evaluations_without_improvement + 1;
  if (state.evaluations_without_improvement >= patience_) context.control.should_training_stop = true;
}

std::string best_metric_name(const TrainingArguments& arguments) {
  const std::string& name = arguments.metric_for_best_model.empty() ? "loss" : arguments.metric_for_best_model;
  return name.starts_with("eval_") ? name : "eval_" + name;
}

bool greater_is_better(const TrainingArguments& arguments) {
  return arguments.greater_is_better.value_or(!best_metric_name(arguments).ends_with("loss"));
}

}  // namespace mica
