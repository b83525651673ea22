#include "mica/training/optimizers/lion.h"

#include "mica/kernels/optimizer.h"
#include "mica/training/optimizers/checks.h"

namespace mica {

Lion::Lion(std::vector<ParameterGroup> groups, const LionOptions& options)
    : Optimizer(std::move(groups), options.learning_rate), options_(options) {
  check_setting("lion", "beta1", options.beta1, 0, 1, false);
  check_setting("lion", "beta2", options.beta2, 0, 1, false);
}

std::vector<Optimizer::StateShape> Lion::state_of(const Tensor& parameter) const {
  return {{"exp_avg", parameter.shape()}};
}

void Lion::move(const std::vector<Move>& moves, double gradient_scale) {
  std::vector<LionItem> items;
  items.reserve(moves.size());
  for (const Move& each : moves) {
    items.push_back({.parameter = each.parameter,
                     .gradient = each.gradient,
                     .mean = each.state->front().view(),
                     .lr = each.learning_rate,
                     .beta1 = options_.beta1,
                     .beta2 = options_.beta2,
                     .weight_decay = each.weight_decay});
  }
  backend(device()).optimizer().lion(items, gradient_scale);
}

}  // namespace mica
