#pragma once
// AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW. State: exp_avg, exp_avg_sq.

#include "mica/training/optimizers/optimizer.h"

namespace mica {

struct AdamWItem;

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
};

class AdamW final : public Optimizer {
 public:
  /// Throws Error for betas outside [0, 1) and a negative eps.
  explicit AdamW(std::vector<ParameterGroup> groups, const AdamWOptions& options = {});
  int64_t step_numbers() const override { return 3; }

 private:
  std::vector<StateShape> state_of(const Tensor& parameter) const override;
  void move(const std::vector<Move>& moves, double gradient_scale) override;
  std::vector<double> numbers_of(const Move& move) const override;
  void move_recorded(const std::vector<Move>& moves, const View& gradient_scale) override;
  std::vector<AdamWItem> items(const std::vector<Move>& moves) const;
  AdamWOptions options_;
};

}  // namespace mica
