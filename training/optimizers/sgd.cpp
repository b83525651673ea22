#include "mica/training/optimizers/sgd.h"

#include "mica/base/error.h"
#include "mica/kernels/optimizer.h"
#include "mica/training/optimizers/checks.h"

namespace mica {

Sgd::Sgd(std::vector<ParameterGroup> groups, const SgdOptions& options)
    : Optimizer(std::move(groups), options.learning_rate), options_(options) {
  check_setting("sgd", "momentum", options.momentum, 0, kAnySetting);
  check_setting("sgd", "dampening", options.dampening, -kAnySetting, kAnySetting);
  if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
    throw Error("nesterov without momentum, or with dampening", "sgd", "set momentum above 0 and dampening to 0");
  }
}

std::vector<Optimizer::StateShape> Sgd::state_of(const Tensor& parameter) const {
  if (options_.momentum == 0) return {};
  return {{"momentum_buffer", parameter.shape()}};
}

void Sgd::move(const std::vector<Move>& moves, double gradient_scale) {
  std::vector<SgdItem> items;
  items.reserve(moves.size());
  for (const Move& each : moves) {
    items.push_back({.parameter = each.parameter,
                     .gradient = each.gradient,
                     .buffer = each.state->empty() ? View{} : each.state->front().view(),
                     .lr = each.learning_rate,
                     .momentum = options_.momentum,
                     .dampening = options_.dampening,
                     .weight_decay = each.weight_decay,
                     .nesterov = options_.nesterov,
                     .first_step = each.step == 1});
  }
  backend(device()).optimizer().sgd(items, gradient_scale);
}

}  // namespace mica
