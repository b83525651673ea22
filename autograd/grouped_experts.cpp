#include "mica/autograd/grouped_experts.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/experts.h"
#include "mica/kernels/linear.h"
#include "mica/kernels/reduce.h"

namespace mica {
namespace {

ExpertsKernels& kernels_of(Device device) {
  ExpertsKernels* kernels = backend(device).linear().experts();
  if (kernels == nullptr) {
    throw Error("no products of all experts at once on " + to_string(device), "experts",
                "bring the routing to the host: group_by_expert()");
  }
  return *kernels;
}

ExpertPlaces view_of(const ExpertOrder& order) {
  return {order.offsets.view(), order.places.view(), order.slots.view()};
}

}  // namespace

bool groups_experts(Device device) {
  return backend(device).linear().experts() != nullptr;
}

Routing choose_experts(const Tensor& scores, int64_t k, const ExpertRules& rules) {
  const bool fits = scores.rank() == 2 && k >= 1 && k <= scores.size(1) && rules.groups >= 1 &&
                    scores.size(1) % rules.groups == 0 && rules.chosen_groups >= 1 &&
                    rules.chosen_groups <= rules.groups &&
                    (!rules.correction.defined() ||
                     (rules.correction.shape() == Shape{scores.size(1)} && rules.correction.dtype() == scores.dtype()));
  if (!fits) {
    throw Error(std::to_string(k) + " experts by scores " + to_string(scores.shape()) + ", " +
                    std::to_string(rules.chosen_groups) + " of " + std::to_string(rules.groups) + " groups",
                "choose_experts",
                "need scores [rows, experts], at least 1 and at most all experts, a correction [experts], and groups "
                "of as many experts each");
  }
  check_devices("choose_experts", {&scores, &rules.correction});
  const Tensor source = scores.detach().contiguous();
  const Shape shape{scores.size(0), k};
  Routing routing{Tensor::empty(shape, DType::int64, scores.device()),
                  Tensor::empty(shape, scores.dtype(), scores.device())};
  const Tensor correction = rules.correction.defined() ? rules.correction.detach().contiguous() : Tensor();
  const ExpertChoice choice{correction.view(), rules.groups, rules.chosen_groups};
  kernels_of(scores.device()).choose(source.view(), choice, routing.experts.view(), routing.weights.view());
  if (wants_grad({&scores})) {
    record("choose_experts", {scores}, {routing.weights},
           [experts = routing.experts, shape = scores.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             const Tensor dscores = Tensor::empty(shape, g[0].dtype(), g[0].device());
             kernels_of(g[0].device()).choose_backward(experts.view(), g[0].contiguous().view(), dscores.view());
             return {dscores};
           });
  }
  return routing;
}

ExpertOrder order_by_expert(const Tensor& experts, int64_t count) {
  if (experts.rank() != 2 || experts.dtype() != DType::int64 || count < 1) {
    throw Error("experts " + std::string(name(experts.dtype())) + " " + to_string(experts.shape()) + " of " +
                    std::to_string(count),
                "order_by_expert", "need int64 [rows, k], and at least one expert");
  }
  const Device device = experts.device();
  ExpertOrder order{Tensor::empty({count + 1}, DType::int32, device),
                    Tensor::empty({experts.numel()}, DType::int64, device),
                    Tensor::empty(experts.shape(), DType::int64, device)};
  kernels_of(device).order(experts.contiguous().view(), view_of(order));
  return order;
}

Tensor to_experts(const Tensor& x, const ExpertOrder& order) {
  if (x.rank() != 2 || x.size(0) != order.slots.size(0)) {
    throw Error("x " + to_string(x.shape()) + " for places of " + std::to_string(order.slots.size(0)) + " rows",
                "to_experts", "need x [rows, size]");
  }
  check_devices("to_experts", {&x, &order.places});
  Tensor y = Tensor::empty({order.places.size(0), x.size(1)}, x.dtype(), x.device());
  kernels_of(x.device()).gather(x.detach().contiguous().view(), {}, view_of(order), y.view());
  if (wants_grad({&x})) {
    record("to_experts", {x}, {y}, [order, shape = x.shape()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Tensor dx = Tensor::empty(shape, g[0].dtype(), g[0].device());
      kernels_of(dx.device()).combine(g[0].contiguous().view(), {}, view_of(order), dx.view());
      return {dx};
    });
  }
  return y;
}

Tensor from_experts(const Tensor& x, const Tensor& weights, const ExpertOrder& order) {
  if (x.rank() != 2 || x.size(0) != order.places.size(0) || !(weights.shape() == order.slots.shape()) ||
      weights.dtype() != x.dtype()) {
    throw Error("x " + to_string(x.shape()) + ", weights " + std::string(name(weights.dtype())) + " " +
                    to_string(weights.shape()) + " for " + std::to_string(order.places.size(0)) + " places",
                "from_experts", "need x [rows * k, size] and weights [rows, k] of its dtype");
  }
  check_devices("from_experts", {&x, &weights, &order.places});
  const Tensor rows = x.detach().contiguous(), shares = weights.detach().contiguous();
  Tensor y = Tensor::empty({weights.size(0), x.size(1)}, x.dtype(), x.device());
  kernels_of(x.device()).combine(rows.view(), shares.view(), view_of(order), y.view());
  if (wants_grad({&x, &weights})) {
    record("from_experts", {x, weights}, {y},
           [order, rows, shares, need_x = x.requires_grad(),
            need_weights = weights.requires_grad()](const std::vector<Tensor>& g) -> std::vector<Tensor> {
             ExpertsKernels& kernels = kernels_of(rows.device());
             const Tensor dy = g[0].contiguous();
             std::vector<Tensor> gradients(2);
             if (need_x) {
               gradients[0] = Tensor::empty(rows.shape(), rows.dtype(), rows.device());
               kernels.gather(dy.view(), shares.view(), view_of(order), gradients[0].view());
             }
             if (need_weights) {
               gradients[1] = Tensor::empty(shares.shape(), shares.dtype(), shares.device());
               kernels.combine_weights_backward(dy.view(), rows.view(), view_of(order), gradients[1].view());
             }
             return gradients;
           });
  }
  return y;
}

Tensor AddressTable::of(std::vector<int64_t> addresses, Device device) {
  const std::lock_guard lock(mutex_);
  if (!table_.defined() || table_.device() != device || known_ != addresses) {
    table_ = Tensor::from(addresses).to(device);
    known_ = std::move(addresses);
  }
  return table_;
}

namespace {

// The layers as kernels take them, and what keeps them alive.
class Matrices {
 public:
  Matrices(const ExpertLayers& layers, int64_t experts, Device device)
      : stacked_(layers.weights.size() == 1 && layers.weights[0].rank() == 3) {
    for (const Tensor& each : layers.weights) weights_.push_back(each.detach());
    for (const Tensor& each : layers.biases) biases_.push_back(each.detach());
    check(experts, device);
    const Tensor& first = weights_[0];
    parts_ = stacked_ ? 1 : static_cast<int64_t>(weights_.size()) / experts;
    out_ = first.size(stacked_ ? 2 : 0);
    in_ = first.size(1);
    const std::vector<int64_t> places = addresses(weights_, experts);
    aligned_ = std::all_of(places.begin(), places.end(), [](int64_t each) { return each % 16 == 0; });
    table_ = layers.weight_table->of(places, device).reshape({parts_, experts});
    if (!biases_.empty())
      bias_table_ = layers.bias_table->of(addresses(biases_, experts), device).reshape(table_.shape());
  }

  bool stacked() const { return stacked_; }
  int64_t parts() const { return parts_; }
  int64_t out() const { return out_; }
  int64_t in() const { return in_; }
  DType dtype() const { return weights_[0].dtype(); }
  DType bias_dtype() const { return biases_[0].dtype(); }

  ExpertMatrices forward() const {
    return {table_.view(), dtype(), out_, in_, stacked_ ? 1 : in_, stacked_ ? out_ : 1, aligned_};
  }
  // Of one part, transposed.
  ExpertMatrices backward(int64_t part) const {
    ExpertMatrices result = forward();
    const Tensor own = table_.slice(0, part, part + 1);
    result.addresses = own.view();
    std::swap(result.out, result.in);
    std::swap(result.out_stride, result.in_stride);
    return result;
  }
  ExpertVectors biases() const {
    if (biases_.empty()) return {};
    return {bias_table_.view(), bias_dtype()};
  }

 private:
  static std::vector<int64_t> addresses(const std::vector<Tensor>& tensors, int64_t experts) {
    std::vector<int64_t> result;
    for (const Tensor& each : tensors) {
      const auto start = static_cast<int64_t>(reinterpret_cast<uintptr_t>(each.raw_data()));
      const int64_t count = static_cast<int64_t>(tensors.size()) == 1 ? experts : 1;
      const int64_t bytes = each.numel() / count * item_size(each.dtype());
      for (int64_t i = 0; i < count; ++i) result.push_back(start + i * bytes);
    }
    return result;
  }

  static bool alike(const std::vector<Tensor>& tensors, Device device) {
    return std::all_of(tensors.begin(), tensors.end(), [&](const Tensor& each) {
      return each.shape() == tensors[0].shape() && each.dtype() == tensors[0].dtype() && each.is_contiguous() &&
             each.device() == device;
    });
  }

  void check(int64_t experts, Device device) const {
    const auto count = static_cast<int64_t>(weights_.size());
    bool fits =
        stacked_ ? weights_[0].size(0) == experts : count > 0 && count % experts == 0 && weights_[0].rank() == 2;
    fits = fits && alike(weights_, device) && alike(biases_, device);
    if (fits && !biases_.empty()) {
      const int64_t out = weights_[0].size(stacked_ ? 2 : 0);
      fits = biases_.size() == weights_.size() && biases_[0].shape() == (stacked_ ? Shape{experts, out} : Shape{out});
    }
    if (fits) return;
    throw Error(std::to_string(count) + " weights" + (count > 0 ? " " + to_string(weights_[0].shape()) : "") + " and " +
                    std::to_string(biases_.size()) + " biases of " + std::to_string(experts) + " experts",
                "expert_linear",
                "need [out, in] for each expert and part, or one [experts, in, out], contiguous, of one dtype, on the "
                "rows' device, and no biases or as many");
  }

  bool stacked_;
  std::vector<Tensor> weights_, biases_;
  int64_t parts_ = 0, out_ = 0, in_ = 0;
  bool aligned_ = false;
  Tensor table_, bias_table_;  // [parts, experts]
};

// In which dtype x and weights of this one are multiplied: mixed precision rounds weights of float32 to activations of
// 16 bits; `factors` rounds both of float32.
DType multiplied(DType x, DType weight, DType factors) {
  if (x == DType::float64) return x;
  if (item_size(x) == 2) return weight == x || weight == DType::float32 ? x : DType::float32;
  if (weight == DType::bfloat16) return weight;
  return weight == DType::float32 && factors == DType::bfloat16 ? factors : DType::float32;
}

// A parameter's gradient is made in its dtype where that is wider than the activations'.
DType made_in(const Tensor& dy, DType parameter) {
  return item_size(dy.dtype()) == 2 && parameter == DType::float32 ? parameter : dy.dtype();
}

// The sums of dy's rows by expert: [experts, size].
Tensor bias_sums(const Tensor& dy, const ExpertOrder& order) {
  const int64_t experts = order.offsets.size(0) - 1;
  const Tensor sums = Tensor::empty({experts, dy.size(1)}, dy.dtype(), dy.device());
  // The host knows no more than how many segments there are.
  const std::vector<int32_t> unknown(static_cast<size_t>(experts) + 1);
  const Segments segments{.host = unknown, .device = order.offsets.view().as<const int32_t>()};
  backend(dy.device()).reduce().segment_reduce(ReduceOp::sum, dy.view(), segments, {}, sums.view());
  return sums;
}

struct Wanted {
  bool x = false;
  std::vector<bool> weights, biases;
  static bool any(const std::vector<bool>& wanted) {
    return std::find(wanted.begin(), wanted.end(), true) != wanted.end();
  }
};

// In the order of the node's inputs behind x: those of the weights, then of the biases.
void parameter_gradients(const Tensor& dy, const Tensor& x, const ExpertOrder& order, const Matrices& matrices,
                         DType factors, const Wanted& wanted, std::vector<Tensor>* gradients) {
  const int64_t experts = order.offsets.size(0) - 1, parts = matrices.parts();
  const auto own = [&](const Tensor& all, int64_t i) { return all.select(0, i / experts).select(0, i % experts); };
  size_t at = 1;
  if (Wanted::any(wanted.weights)) {
    const DType made = made_in(dy, matrices.dtype());
    const bool stacked = matrices.stacked();
    const Shape shape = stacked ? Shape{1, experts, matrices.in(), matrices.out()}
                                : Shape{parts, experts, matrices.out(), matrices.in()};
    const Tensor sums = Tensor::empty(shape, made, dy.device());
    kernels_of(dy.device())
        .weight_gradients((stacked ? x : dy).view(), (stacked ? dy : x).view(), view_of(order), factors, sums.view());
    const Tensor all = sums.to(matrices.dtype());
    for (size_t i = 0; i < wanted.weights.size(); ++i) {
      if (wanted.weights[i]) (*gradients)[at + i] = stacked ? all.select(0, 0) : own(all, static_cast<int64_t>(i));
    }
  }
  at += wanted.weights.size();
  if (!Wanted::any(wanted.biases)) return;
  const Tensor all = bias_sums(dy.to(made_in(dy, matrices.bias_dtype())), order).to(matrices.bias_dtype());
  for (size_t i = 0; i < wanted.biases.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    const int64_t first = number / experts * matrices.out();
    if (!wanted.biases[i]) continue;
    (*gradients)[at + i] =
        matrices.stacked() ? all : all.select(0, number % experts).slice(0, first, first + matrices.out());
  }
}

}  // namespace

Tensor expert_linear(const Tensor& x, const ExpertOrder& order, const ExpertLayers& layers, DType factors) {
  const int64_t experts = order.offsets.size(0) - 1;
  const auto matrices = std::make_shared<const Matrices>(layers, experts, x.device());
  if (x.rank() != 2 || x.size(1) != matrices->in() || x.size(0) != order.places.size(0)) {
    throw Error("x " + to_string(x.shape()) + " for " + std::to_string(order.places.size(0)) +
                    " places and weights of " + std::to_string(matrices->in()) + " columns",
                "expert_linear", "need x [rows * k, in]");
  }
  const Tensor rows = x.detach().contiguous();
  if ((x.dtype() == DType::float64) != (matrices->dtype() == DType::float64)) {
    throw Error("x " + std::string(name(x.dtype())) + " and weights " + std::string(name(matrices->dtype())),
                "expert_linear", "convert one of them: float64 is multiplied with itself alone");
  }
  const DType product = multiplied(x.dtype(), matrices->dtype(), factors);
  Tensor y = Tensor::empty({rows.size(0), matrices->parts() * matrices->out()}, x.dtype(), x.device());
  kernels_of(x.device())
      .product(rows.view(), matrices->forward(), matrices->biases(), view_of(order), product, false, y.view());
  Wanted wanted{.x = x.requires_grad()};
  std::vector<Tensor> inputs{x};
  for (const Tensor& each : layers.weights) {
    wanted.weights.push_back(each.requires_grad());
    inputs.push_back(each);
  }
  for (const Tensor& each : layers.biases) {
    wanted.biases.push_back(each.requires_grad());
    inputs.push_back(each);
  }
  if (!grad_enabled() || !(wanted.x || Wanted::any(wanted.weights) || Wanted::any(wanted.biases))) return y;
  record("expert_linear", inputs, {y},
         [rows, order, matrices, product, wanted](const std::vector<Tensor>& g) -> std::vector<Tensor> {
           const Tensor dy = g[0].contiguous();
           std::vector<Tensor> gradients(1 + wanted.weights.size() + wanted.biases.size());
           if (wanted.x) {
             gradients[0] = Tensor::empty(rows.shape(), rows.dtype(), rows.device());
             for (int64_t part = 0; part < matrices->parts(); ++part) {
               const Tensor own = dy.slice(1, part * matrices->out(), (part + 1) * matrices->out());
               kernels_of(dy.device())
                   .product(own.view(), matrices->backward(part), {}, view_of(order), product, part > 0,
                            gradients[0].view());
             }
           }
           parameter_gradients(dy, rows, order, *matrices, product, wanted, &gradients);
           return gradients;
         });
  return y;
}

}  // namespace mica
