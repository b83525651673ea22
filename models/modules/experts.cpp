#include "mica/models/modules/experts.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "mica/autograd/activation.h"
#include "mica/autograd/autocast.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/random.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/shape.h"
#include "mica/models/modules/router_balance.h"

namespace mica {
namespace {

// The indices of the k largest values, largest first; of equal ones the first.
std::vector<int64_t> largest(const float* values, int64_t count, int64_t k) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return values[a] > values[b]; });
  order.resize(static_cast<size_t>(k));
  return order;
}

// All values outside the best groups become -infinity; a group is as good as its two best together.
void keep_groups(float* values, int64_t count, int64_t groups, int64_t chosen) {
  const int64_t size = count / groups;
  std::vector<float> scores;
  for (int64_t g = 0; g < groups; ++g) {
    const std::vector<int64_t> best = largest(values + g * size, size, std::min<int64_t>(2, size));
    float sum = 0;
    for (const int64_t i : best) sum += values[g * size + i];
    scores.push_back(sum);
  }
  const std::vector<int64_t> kept = largest(scores.data(), groups, chosen);
  for (int64_t g = 0; g < groups; ++g) {
    if (std::find(kept.begin(), kept.end(), g) == kept.end()) {
      std::fill_n(values + g * size, size, -std::numeric_limits<float>::infinity());
    }
  }
}

}  // namespace

Experts::Experts(const Scope& scope, int64_t hidden_size, const ExpertsSpec& spec)
    : spec_(spec), product_dtype_(scope.options().dtype) {
  const ExpertsNames& names = spec.names;
  const int64_t count = spec.num_experts;
  const int64_t inner = spec.expert.intermediate_size;
  router_ = Linear(scope / names.router, hidden_size, count, spec.router_bias);
  if (!names.correction.empty()) correction_ = scope.buffer(names.correction, Tensor::zeros({count}));
  if (spec.stacked) {
    const Scope module = scope / names.experts;
    gate_up_ = module.matrix("gate_up_proj", {count, hidden_size, 2 * inner});
    gate_up_bias_ = module.zeros("gate_up_proj_bias", {count, 2 * inner});
    down_ = module.matrix("down_proj", {count, inner, hidden_size});
    down_bias_ = module.zeros("down_proj_bias", {count, hidden_size});
    for (int64_t i = 0; i < count; ++i) {
      gate_up_layers_.emplace_back(scope.options());
      down_layers_.emplace_back(scope.options());
    }
  } else {
    MlpSpec expert = spec.expert;
    expert.names = names.expert;
    for (int64_t i = 0; i < count; ++i) experts_.emplace_back(scope / names.experts / i, hidden_size, expert);
  }
  if (!names.shared.empty()) {
    MlpSpec shared = spec.expert;
    shared.names = names.expert;
    shared.intermediate_size = spec.shared_intermediate_size;
    shared_ = Mlp(scope / names.shared, hidden_size, shared);
  }
  if (!names.shared_gate.empty()) shared_gate_ = Linear(scope / names.shared_gate, hidden_size, 1, false);
  group_layers();
}

// Puts the experts' parameters in the order in which all are multiplied at once. Those that files hold the other way
// round are multiplied one by one.
void Experts::group_layers() {
  if (spec_.stacked) {
    inputs_.weights = {gate_up_};
    inputs_.biases = {gate_up_bias_};
    outputs_.weights = {down_};
    outputs_.biases = {down_bias_};
    return;
  }
  if (spec_.expert.transposed) return;
  const size_t parts = experts_[0].inputs().size();
  std::vector<std::vector<Linear>> by_part(parts + 1);
  for (const Mlp& expert : experts_) {
    const std::vector<Linear> inputs = expert.inputs();
    for (size_t part = 0; part < parts; ++part) by_part[part].push_back(inputs[part]);
    by_part[parts].push_back(expert.down());
  }
  for (size_t part = 0; part <= parts; ++part) {
    ExpertLayers& group = part < parts ? inputs_ : outputs_;
    for (const Linear& each : by_part[part]) {
      group.weights.push_back(each.weight());
      if (each.bias().defined()) group.biases.push_back(each.bias());
      layers_.push_back(each);
    }
  }
}

bool Experts::stays_on(Device device) const {
  return !inputs_.weights.empty() && groups_experts(device) &&
         std::none_of(layers_.begin(), layers_.end(), [](const Linear& each) { return each.adapted(); });
}

// Scores choose experts; a correction, or the best groups alone, may choose other ones than the scores by themselves.
Tensor Experts::choice(const Tensor& scores) const {
  const Tensor corrected = correction_.defined() ? add(scores, correction_.detach().to(scores.dtype())) : scores;
  if (spec_.num_groups == 1) return corrected;
  std::vector<float> values = corrected.to_vector<float>();
  for (int64_t row = 0; row < scores.size(0); ++row) {
    keep_groups(values.data() + row * scores.size(1), scores.size(1), spec_.num_groups, spec_.num_chosen_groups);
  }
  return Tensor::from(values, scores.shape()).to(scores.device());
}

Routing Experts::choose(const Tensor& x, bool on_device, Balance* balance) const {
  const Tensor logits = router_(x);
  const Tensor scores = spec_.router == RouterKind::softmax_all ? softmax(logits)
                        : spec_.router == RouterKind::sigmoid   ? activate(logits, Activation::sigmoid)
                                                                : logits;
  Routing routing;
  if (on_device) {
    const Tensor correction = correction_.defined() ? correction_.detach().to(scores.dtype()) : Tensor();
    routing =
        choose_experts(scores, spec_.num_experts_per_tok, {correction, spec_.num_groups, spec_.num_chosen_groups});
  } else {
    routing = route(scores, choice(scores.detach()), spec_.num_experts_per_tok);
  }
  if (balance != nullptr) balance->sums = router_balance(logits, routing.experts, balance->shown);
  Tensor& weights = routing.weights;
  if (spec_.router == RouterKind::softmax_chosen) weights = softmax(weights);
  if (spec_.normalize) {
    const Tensor total = reshape(sum(weights, 1), Shape{weights.size(0), 1});
    weights = divide(weights, spec_.router == RouterKind::sigmoid ? affine(total, 1, 1e-20) : total);
  }
  if (spec_.scale != 1) weights = affine(weights, spec_.scale);
  return routing;
}

// Whether parameters that are the expert's alone are tracked.
bool Experts::learns(int64_t expert) const {
  if (!grad_enabled()) return false;
  const auto at = static_cast<size_t>(expert);
  if (spec_.stacked) return gate_up_layers_[at].adapted() || down_layers_[at].adapted();
  const auto tracked = [](const Linear& each) { return each.adapted() || each.weight().requires_grad(); };
  const std::vector<Linear> inputs = experts_[at].inputs();
  return tracked(experts_[at].down()) || std::any_of(inputs.begin(), inputs.end(), tracked);
}

Tensor Experts::run(int64_t expert, const Tensor& x, bool training) const {
  if (!spec_.stacked) return experts_[static_cast<size_t>(expert)](x, {}, training);
  const auto at = static_cast<size_t>(expert);
  const Linear gate_up = gate_up_layers_[at].of(select(gate_up_, 0, expert), select(gate_up_bias_, 0, expert));
  const Linear down = down_layers_[at].of(select(down_, 0, expert), select(down_bias_, 0, expert));
  const Tensor both = gate_up(x);
  const Tensor pairs = reshape(both, Shape{x.size(0), spec_.expert.intermediate_size, 2});
  const Tensor inner = clamped_swiglu(select(pairs, 2, 0), select(pairs, 2, 1), spec_.limit, spec_.alpha);
  return down(inner);
}

Tensor Experts::all_at_once(const Tensor& x, const Routing& routing, bool training) const {
  const ExpertOrder order = order_by_expert(routing.experts, spec_.num_experts);
  const DType factors = product_dtype(product_dtype_);
  const Tensor both = expert_linear(to_experts(x, order), order, inputs_, factors);
  Tensor inner;
  if (spec_.stacked) {
    inner = clamped_swiglu(both, spec_.limit, spec_.alpha);
  } else if (spec_.expert.kind == MlpKind::plain) {
    inner = activate(both, spec_.expert.activation);
  } else {
    inner = activate_and_multiply(both, spec_.expert.activation);
  }
  inner = dropout(inner, training ? spec_.expert.inner_dropout : 0);
  return from_experts(expert_linear(inner, order, outputs_, factors), routing.weights, order);
}

Tensor Experts::one_by_one(const Tensor& x, const Routing& routing, bool training) const {
  const int64_t rows = x.size(0);
  const ExpertRows by_expert = group_by_expert(routing.experts, spec_.num_experts);
  const Tensor gathered = index_select(x, by_expert.rows);
  std::vector<Tensor> results;
  std::vector<int64_t> idle;
  int64_t begin = 0;
  for (int64_t expert = 0; expert < spec_.num_experts; ++expert) {
    const int64_t count = by_expert.counts[static_cast<size_t>(expert)];
    if (count > 0) {
      results.push_back(run(expert, slice(gathered, 0, begin, begin + count), training));
    } else if (learns(expert)) {
      idle.push_back(expert);
    }
    begin += count;
  }
  // An expert without rows has a gradient of zeros: optimizers move what has one, by momentum and decay. So it gets a
  // row of zeros, whose result nobody reads.
  for (const int64_t expert : idle) {
    results.push_back(run(expert, Tensor::zeros({1, x.size(1)}, x.dtype(), x.device()), training));
  }
  Tensor all = cat(results, 0);
  if (!idle.empty()) all = slice(all, 0, 0, begin);
  const Tensor weights = index_select(reshape(routing.weights, Shape{routing.weights.numel(), 1}), by_expert.places);
  return index_add(rows, by_expert.rows, multiply(all, weights));
}

Tensor Experts::operator()(const Tensor& x, bool training, Balance* balance) const {
  const bool on_device = stays_on(x.device());
  const Routing routing = choose(x, on_device, balance);
  Tensor y = on_device ? all_at_once(x, routing, training) : one_by_one(x, routing, training);
  if (shared_.defined()) {
    Tensor shared = shared_(x, {}, training);
    if (shared_gate_.defined()) shared = multiply(shared, activate(shared_gate_(x), Activation::sigmoid));
    y = add(y, shared);
  }
  return y;
}

}  // namespace mica
