#include "mica/training/optimizers/adamw.h"

#include "mica/kernels/optimizer.h"
#include "mica/training/optimizers/checks.h"

namespace mica {

AdamW::AdamW(std::vector<ParameterGroup> groups, const AdamWOptions& options)
    : Optimizer(std::move(groups), options.learning_rate), options_(options) {
  check_setting("adamw", "beta1", options.beta1, 0, 1, false);
  check_setting("adamw", "beta2", options.beta2, 0, 1, false);
  check_setting("adamw", "eps", options.eps, 0, kAnySetting);
}

std::vector<Optimizer::StateShape> AdamW::state_of(const Tensor& parameter) const {
  return {{"exp_avg", parameter.shape()}, {"exp_avg_sq", parameter.shape()}};
}

std::vector<AdamWItem> AdamW::items(const std::vector<Move>& moves) const {
  std::vector<AdamWItem> items;
  items.reserve(moves.size());
  for (const Move& each : moves) {
    items.push_back({.parameter = each.parameter,
                     .gradient = each.gradient,
                     .mean = (*each.state)[0].view(),
                     .variance = (*each.state)[1].view(),
                     .lr = each.learning_rate,
                     .beta1 = options_.beta1,
                     .beta2 = options_.beta2,
                     .eps = options_.eps,
                     .weight_decay = each.weight_decay,
                     .step = each.step,
                     .factors = each.numbers});
  }
  return items;
}

void AdamW::move(const std::vector<Move>& moves, double gradient_scale) {
  backend(device()).optimizer().adamw(items(moves), gradient_scale);
}

std::vector<double> AdamW::numbers_of(const Move& move) const {
  const AdamWFactors factors =
      adamw_factors(move.learning_rate, options_.beta1, options_.beta2, move.weight_decay, move.step);
  return {factors.decay, factors.step_size, factors.inverse_root};
}

void AdamW::move_recorded(const std::vector<Move>& moves, const View& gradient_scale) {
  backend(device()).optimizer().adamw(items(moves), 1, gradient_scale);
}

}  // namespace mica
