#include "mica/models/modules/experts.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "mica/autograd/activation.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/shape.h"

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

Experts::Experts(const Scope& scope, int64_t hidden_size, const ExpertsSpec& spec) : spec_(spec) {
  const ExpertsNames& names = spec.names;
  const int64_t count = spec.num_experts;
  const int64_t inner = spec.expert.intermediate_size;
  router_ = Linear(scope / names.router, hidden_size, count, spec.router_bias);
  if (!names.correction.empty()) correction_ = scope.buffer(names.correction, Tensor::zeros({count}));
  if (spec.stacked) {
    const Scope module = scope / names.experts;
    gate_up_ = module.weight("gate_up_proj", {count, hidden_size, 2 * inner});
    gate_up_bias_ = module.zeros("gate_up_proj_bias", {count, 2 * inner});
    down_ = module.weight("down_proj", {count, inner, hidden_size});
    down_bias_ = module.zeros("down_proj_bias", {count, hidden_size});
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
}

Experts::Choice Experts::route(const Tensor& x) const {
  const int64_t rows = x.size(0);
  const int64_t count = spec_.num_experts;
  const int64_t k = spec_.num_experts_per_tok;
  const Tensor logits = router_(x);
  const Tensor scores = spec_.router == RouterKind::softmax_all ? softmax(logits)
                        : spec_.router == RouterKind::sigmoid   ? activate(logits, Activation::sigmoid)
                                                                : logits;
  std::vector<float> values = scores.detach().to_vector<float>();
  if (correction_.defined()) {
    const std::vector<float> correction = correction_.to_vector<float>();
    for (size_t i = 0; i < values.size(); ++i) values[i] += correction[i % correction.size()];
  }
  Choice choice;
  std::vector<int64_t> flat;
  for (int64_t row = 0; row < rows; ++row) {
    float* of_row = values.data() + row * count;
    if (spec_.num_groups > 1) keep_groups(of_row, count, spec_.num_groups, spec_.num_chosen_groups);
    for (const int64_t expert : largest(of_row, count, k)) {
      choice.experts.push_back(expert);
      flat.push_back(row * count + expert);
    }
  }
  const Tensor index = Tensor::from(flat).to(x.device());
  Tensor weights = reshape(index_select(reshape(scores, Shape{rows * count, 1}), index), Shape{rows, k});
  if (spec_.router == RouterKind::softmax_chosen) weights = softmax(weights);
  if (spec_.normalize) {
    const double least = spec_.router == RouterKind::sigmoid ? 1e-20 : 0;
    weights = divide(weights, affine(reshape(sum(weights, 1), Shape{rows, 1}), 1, least));
  }
  if (spec_.scale != 1) weights = affine(weights, spec_.scale);
  choice.weights = reshape(weights, Shape{rows * k, 1});
  return choice;
}

Tensor Experts::run(int64_t expert, const Tensor& x, bool training) const {
  if (!spec_.stacked) return experts_[static_cast<size_t>(expert)](x, {}, training);
  const Tensor both = linear(x, transpose(select(gate_up_, 0, expert), 0, 1), select(gate_up_bias_, 0, expert));
  const Tensor pairs = reshape(both, Shape{x.size(0), spec_.expert.intermediate_size, 2});
  const Tensor inner = clamped_swiglu(select(pairs, 2, 0), select(pairs, 2, 1), spec_.limit, spec_.alpha);
  return linear(inner, transpose(select(down_, 0, expert), 0, 1), select(down_bias_, 0, expert));
}

// Rows are gathered by expert, run, and put back in their places: place[row * k + i] is where the result of that row's
// i-th expert lies.
Tensor Experts::operator()(const Tensor& x, bool training) const {
  const int64_t rows = x.size(0);
  const int64_t k = spec_.num_experts_per_tok;
  const Choice choice = route(x);
  std::vector<std::vector<int64_t>> places(static_cast<size_t>(spec_.num_experts));
  for (size_t i = 0; i < choice.experts.size(); ++i) {
    places[static_cast<size_t>(choice.experts[i])].push_back(static_cast<int64_t>(i));
  }
  std::vector<Tensor> results;
  std::vector<int64_t> place(choice.experts.size());
  int64_t done = 0;
  for (int64_t expert = 0; expert < spec_.num_experts; ++expert) {
    const std::vector<int64_t>& mine = places[static_cast<size_t>(expert)];
    if (mine.empty()) continue;
    std::vector<int64_t> of_rows;
    for (const int64_t i : mine) {
      of_rows.push_back(i / k);
      place[static_cast<size_t>(i)] = done++;
    }
    results.push_back(run(expert, index_select(x, Tensor::from(of_rows).to(x.device())), training));
  }
  const Tensor all =
      index_select(results.size() == 1 ? results[0] : cat(results, 0), Tensor::from(place).to(x.device()));
  Tensor y = sum(reshape(multiply(all, choice.weights), Shape{rows, k, x.size(1)}), 1);
  if (shared_.defined()) {
    Tensor shared = shared_(x, {}, training);
    if (shared_gate_.defined()) shared = multiply(shared, activate(shared_gate_(x), Activation::sigmoid));
    y = add(y, shared);
  }
  return y;
}

}  // namespace mica
