#include "mica/training/optimizers/adafactor.h"

#include <algorithm>
#include <cmath>

#include "mica/base/error.h"
#include "mica/kernels/optimizer.h"
#include "mica/training/optimizers/checks.h"

namespace mica {
namespace {

// Of [..., rows, columns]: [..., rows], or [..., columns].
Shape without(const Shape& shape, int dim) {
  std::vector<int64_t> sizes(shape.begin(), shape.end());
  sizes.erase(sizes.begin() + shape.index(dim));
  return Shape(sizes);
}

}  // namespace

Adafactor::Adafactor(std::vector<ParameterGroup> groups, const AdafactorOptions& options)
    : Optimizer(std::move(groups), options.learning_rate.value_or(0)), options_(options) {
  if (options.relative_step == options.learning_rate.has_value()) {
    throw Error(options.relative_step ? "both a learning rate and relative_step" : "no learning rate", "adafactor",
                "give a learning rate, or set relative_step: one of the two");
  }
  if (options.warmup_init && !options.relative_step) {
    throw Error("warmup_init without relative_step", "adafactor", "set relative_step, or use a schedule with warm-up");
  }
  check_setting("adafactor", "eps", options.eps, 0, kAnySetting);
  check_setting("adafactor", "eps_scale", options.eps_scale, 0, kAnySetting);
  check_setting("adafactor", "clip_threshold", options.clip_threshold, std::numeric_limits<double>::min(), kAnySetting);
  check_setting("adafactor", "decay_rate", options.decay_rate, -kAnySetting, 0);
  check_setting("adafactor", "beta1", options.beta1.value_or(0), 0, 1, false);
}

std::vector<Optimizer::StateShape> Adafactor::state_of(const Tensor& parameter) const {
  std::vector<StateShape> state;
  if (parameter.rank() >= 2) {
    state = {{"exp_avg_sq_row", without(parameter.shape(), -1)}, {"exp_avg_sq_col", without(parameter.shape(), -2)}};
  } else {
    state = {{"exp_avg_sq", parameter.shape()}};
  }
  if (options_.beta1) state.emplace_back("exp_avg", parameter.shape());
  return state;
}

void Adafactor::move(const std::vector<Move>& moves, double gradient_scale) {
  std::vector<AdafactorItem> items;
  items.reserve(moves.size());
  for (const Move& each : moves) {
    const auto t = static_cast<double>(each.step);
    double rate = each.learning_rate;
    if (options_.relative_step) {
      rate = each.learning_rate_scale * std::min(options_.warmup_init ? 1e-6 * t : 1e-2, 1 / std::sqrt(t));
    }
    const std::vector<Tensor>& state = *each.state;
    AdafactorItem item{.parameter = each.parameter,
                       .gradient = each.gradient,
                       .mean = options_.beta1 ? state.back().view() : View{},
                       .row = {},
                       .column = {},
                       .variance = {},
                       .lr = rate,
                       .beta1 = options_.beta1.value_or(0),
                       .beta2 = 1 - std::pow(t, options_.decay_rate),
                       .eps = options_.eps,
                       .eps_scale = options_.eps_scale,
                       .clip_threshold = options_.clip_threshold,
                       .weight_decay = each.weight_decay,
                       .scale_parameter = options_.scale_parameter};
    if (each.parameter.rank >= 2) {
      item.row = state[0].view();
      item.column = state[1].view();
    } else {
      item.variance = state[0].view();
    }
    items.push_back(item);
  }
  backend(device()).optimizer().adafactor(items, gradient_scale);
}

}  // namespace mica
