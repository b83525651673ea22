#pragma once
// Stochastic gradient descent with momentum (Nesterov's too), as torch.optim.SGD. State: momentum_buffer, where there
// is momentum.

#include "mica/training/optimizers/optimizer.h"

namespace mica {

struct SgdOptions {
  double learning_rate = 1e-3;
  double momentum = 0;
  double dampening = 0;
  bool nesterov = false;
};

class Sgd final : public Optimizer {
 public:
  /// Throws Error for a negative momentum, and for nesterov without momentum or with dampening.
  explicit Sgd(std::vector<ParameterGroup> groups, const SgdOptions& options = {});

 private:
  std::vector<StateShape> state_of(const Tensor& parameter) const override;
  void move(const std::vector<Move>& moves, double gradient_scale) override;
  SgdOptions options_;
};

}  // namespace mica
