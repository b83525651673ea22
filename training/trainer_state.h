#pragma once
// TrainerState: where a training run stands, and all that it logged; trainer_state.json on disk, as transformers has
// it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mica {

/// One entry of the log: {"loss": 0.69, "grad_norm": 1.2, "learning_rate": 5e-5, "epoch": 0.1, "step": 10}.
using LogEntry = std::vector<std::pair<std::string, double>>;

/// Its value of that name, if it has one.
std::optional<double> find(const LogEntry& entry, std::string_view name);

struct TrainerState {
  double epoch = 0;         ///< epochs done, with fractions
  int64_t global_step = 0;  ///< steps done
  int64_t max_steps = 0;    ///< of the whole run
  double num_train_epochs = 0;
  int64_t train_batch_size = 0;
  int64_t logging_steps = 0, eval_steps = 0, save_steps = 0;
  int64_t num_input_tokens_seen = 0;
  std::optional<double> best_metric{};
  std::optional<int64_t> best_global_step{};
  std::string best_model_checkpoint{};
  std::vector<LogEntry> log_history{};
  // What early stopping and the next log entry go on from.
  int64_t evaluations_without_improvement = 0;
  double loss_since_log = 0, total_loss = 0;
  int64_t last_logged_step = 0;

  std::string to_json() const;
  /// Throws Error, naming `where`, for a text that is none.
  static TrainerState from_json(std::string_view text, const std::string& where = "trainer_state.json");
};

}  // namespace mica
