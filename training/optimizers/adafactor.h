#pragma once
// Adafactor (Shazeer and Stern 2018), as transformers.optimization.Adafactor: second moments of a matrix are kept as
// one number a row and one a column. State: exp_avg_sq_row and exp_avg_sq_col, of vectors exp_avg_sq; exp_avg with
// beta1.

#include <optional>

#include "mica/training/optimizers/optimizer.h"

namespace mica {

struct AdafactorOptions {
  /// Left out with relative_step, which sets its own: min(1e-2, 1 / sqrt(t)) at step t, with warmup_init
  /// min(1e-6 t, 1 / sqrt(t)). set_learning_rate() then changes nothing.
  std::optional<double> learning_rate = std::nullopt;
  double eps = 1e-30;         ///< added to squared gradients
  double eps_scale = 1e-3;    ///< the least scale of a parameter, with scale_parameter
  double clip_threshold = 1;  ///< of the root mean square of an update
  double decay_rate = -0.8;   ///< second moments decay by 1 - t^decay_rate
  std::optional<double> beta1 = std::nullopt;
  bool scale_parameter = true;  ///< steps are relative to a parameter's root mean square
  bool relative_step = true;
  bool warmup_init = false;
};

class Adafactor final : public Optimizer {
 public:
  /// Throws Error for a learning rate with relative_step, none without it, and warmup_init without it.
  explicit Adafactor(std::vector<ParameterGroup> groups, const AdafactorOptions& options = {});

 private:
  std::vector<StateShape> state_of(const Tensor& parameter) const override;
  void move(const std::vector<Move>& moves, double gradient_scale) override;
  AdafactorOptions options_;
};

}  // namespace mica
