#pragma once
// How the learning rate changes over a run: the schedules of transformers.optimization, under their names.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace mica {

enum class SchedulerType : uint8_t {
  linear,                ///< down to 0 in a straight line
  cosine,                ///< num_cycles (0.5) waves of a cosine
  cosine_with_restarts,  ///< num_cycles (1) half waves, each from the top
  polynomial,            ///< down to lr_end (1e-7) as the power (1) of what remains
  constant,              ///< no warm-up either
  constant_with_warmup,
  inverse_sqrt,        ///< 1 / sqrt of the steps since the warm-up, counted in timescale (the warm-up, else 10000)
  cosine_with_min_lr,  ///< cosine down to min_lr, or to min_lr_rate of the highest rate
  cosine_warmup_with_min_lr,  ///< likewise; the warm-up starts from warmup_lr_rate, and no step has a rate of 0
  warmup_stable_decay,        ///< num_decay_steps at the end, shaped by decay_type (cosine; linear, 1-sqrt), num_cycles
                              ///< (0.5), down to min_lr_ratio (0); num_stable_steps before it; warmup_type (linear)
  reduce_lr_on_plateau,  ///< constant, times factor (0.1) when a metric got no better for patience (10) evaluations;
                         ///< mode (min), threshold (1e-4), threshold_mode (rel), cooldown (0), min_lr (0), eps (1e-8)
};

/// From "linear", "cosine", ...; throws Error listing the names.
SchedulerType scheduler_type(std::string_view name);
std::string_view name(SchedulerType type);

/// The learning rate of each step as a factor of the highest one. A handle: copies share what a plateau has seen.
class Schedule {
 public:
  /// The factor of step 0, 1, ...
  double operator()(int64_t step) const;
  /// True for reduce_lr_on_plateau, whose factor follows evaluations.
  bool follows_metric() const;
  /// The metric of an evaluation. Other schedules don't mind.
  void observe(double metric);
  /// What was observed so far, as JSON, to be saved with a checkpoint; "{}" for schedules that follow none.
  std::string state() const;
  /// Goes on from state(); throws Error for text that it is not.
  void load_state(std::string_view state, const std::string& where);

  struct Rule;

 private:
  friend Schedule make_schedule(SchedulerType, int64_t, int64_t, double, std::string_view);
  explicit Schedule(std::shared_ptr<Rule> rule);
  std::shared_ptr<Rule> rule_;
};

/// `settings`: a JSON object of the names beside the type above ({"num_cycles": 2}), or nothing. learning_rate is the
/// highest, which settings such as min_lr are relative to. Throws Error for a setting that the type doesn't have, one
/// of the wrong kind or out of range, and a warm-up of fewer than 0 steps.
Schedule make_schedule(SchedulerType type, int64_t warmup_steps, int64_t training_steps, double learning_rate,
                       std::string_view settings = {});

}  // namespace mica
