#pragma once
// Lion (Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023). State: exp_avg.

#include "mica/training/optimizers/optimizer.h"

namespace mica {

struct LionOptions {
  double learning_rate = 1e-4;
  double beta1 = 0.9, beta2 = 0.99;
};

class Lion final : public Optimizer {
 public:
  /// Throws Error for betas outside [0, 1).
  explicit Lion(std::vector<ParameterGroup> groups, const LionOptions& options = {});

 private:
  std::vector<StateShape> state_of(const Tensor& parameter) const override;
  void move(const std::vector<Move>& moves, double gradient_scale) override;
  LionOptions options_;
};

}  // namespace mica
