#include "cli/training_progress.h"

#include <chrono>
#include <cstdio>

#include "cli/common.h"
#include <unistd.h>

namespace mica::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::string minutes(double seconds) {
  const auto all = static_cast<long long>(seconds + 0.5);
  char buffer[40];
  if (all >= 3600) {
    std::snprintf(buffer, sizeof buffer, "%lld:%02lld:%02lld", all / 3600, all / 60 % 60, all % 60);
  } else {
    std::snprintf(buffer, sizeof buffer, "%02lld:%02lld", all / 60, all % 60);
  }
  return buffer;
}

class TrainingProgress : public TrainerCallback {
 public:
  void on_train_begin(const TrainerContext& context) override {
    start_ = Clock::now();
    first_step_ = context.state.global_step;
  }

  void on_step_end(const TrainerContext& context) override {
    const auto now = Clock::now();
    const TrainerState& state = context.state;
    const bool done = state.global_step >= state.max_steps;
    if (!done && now - drawn_ < std::chrono::milliseconds(100)) return;
    drawn_ = now;
    // The mean of what came since the last log entry.
    const int64_t since = state.global_step - state.last_logged_step;
    if (since > 0) loss_ = state.loss_since_log / static_cast<double>(since);
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double rate = static_cast<double>(state.global_step - first_step_) / std::max(seconds, 1e-9);
    const double left = static_cast<double>(state.max_steps - state.global_step) / std::max(rate, 1e-9);
    label_ = "loss " + fixed(loss_, 4) + " " + fixed(rate, 2) + " steps/s " + minutes(left) + " left";
    draw_progress(label_, state.global_step, state.max_steps);
  }

  void on_prediction_step(const TrainerContext&, int64_t done, int64_t total) override {
    const auto now = Clock::now();
    if (done < total && now - drawn_ < std::chrono::milliseconds(100)) return;
    drawn_ = now;
    draw_progress("evaluating", done, total);
  }

  void on_evaluate(const TrainerContext& context, const LogEntry& metrics) override {
    std::string line = "step " + std::to_string(context.state.global_step) + ":";
    for (const auto& [name, value] : metrics) {
      if (name == "epoch" || name.ends_with("runtime") || name.ends_with("per_second")) continue;
      line += " " + name + " " + fixed(value, 4);
    }
    end_progress();
    std::fprintf(stderr, "%s\n", line.c_str());
  }

  void on_train_end(const TrainerContext&) override { end_progress(); }

 private:
  Clock::time_point start_, drawn_;
  int64_t first_step_ = 0;
  double loss_ = 0;
  std::string label_;
};

}  // namespace

std::shared_ptr<TrainerCallback> training_progress() {
  if (isatty(STDERR_FILENO) == 0) return std::make_shared<TrainerCallback>();
  return std::make_shared<TrainingProgress>();
}

}  // namespace mica::cli
