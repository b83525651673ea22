#pragma once
// AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW. State: exp_avg, exp_avg_sq.

#include "mica/training/optimizers/optimizer.h"

namespace mica {

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
};

class AdamW final : public Optimizer {
 public:
  /// Throws Error for betas outside [0, 1) and a negative eps.
  explicit AdamW(std::vector<ParameterGroup> groups, const AdamWOptions& options = {});

 private:
  std::vector<StateShape> state_of(const Tensor& parameter) const override;
  void move(const std::vector<Move>& moves, double gradient_scale) override;
  AdamWOptions options_;
};

}  // namespace mica
