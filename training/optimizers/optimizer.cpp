#include "mica/training/optimizers/optimizer.h"

#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "mica/base/error.h"
#include "mica/kernels/optimizer.h"

namespace mica {
namespace {

std::string described(const Tensor& tensor) {
  return to_string(tensor.shape()) + " " + std::string(name(tensor.dtype())) + " on " + to_string(tensor.device());
}

void check_parameter(const std::string& parameter, const Tensor& tensor) {
  const auto refuse = [&](const char* problem, const char* mend) {
    throw Error("parameter " + printable(parameter) + " " + problem, "optimizer", mend);
  };
  if (!tensor) refuse("is undefined", "leave it out of the groups");
  if (tensor.dtype() != DType::float32 && tensor.dtype() != DType::float64) {
    throw Error("parameter " + printable(parameter) + " is " + std::string(name(tensor.dtype())), "optimizer",
                "train parameters in float32; products may be in bfloat16");
  }
  if (!tensor.is_contiguous()) refuse("is not contiguous", "give the optimizer a contiguous copy");
}

}  // namespace

Optimizer::~Optimizer() = default;

Optimizer::Optimizer(std::vector<ParameterGroup> groups, double learning_rate) : groups_(std::move(groups)) {
  set_learning_rate(learning_rate);
  std::unordered_set<std::string> names;
  std::unordered_set<const void*> places;
  for (size_t group = 0; group < groups_.size(); ++group) {
    for (const auto& [name, tensor] : groups_[group].parameters) {
      check_parameter(name, tensor);
      if (!names.insert(name).second || (tensor.numel() > 0 && !places.insert(tensor.raw_data()).second)) {
        throw Error("parameter " + printable(name) + " occurs twice", "optimizer",
                    "put each into one group, once, under a name of its own");
      }
      if (slots_.empty()) device_ = tensor.device();
      if (!(tensor.device() == device_)) {
        throw Error("parameters on " + to_string(device_) + " and on " + to_string(tensor.device()), "optimizer",
                    "use one optimizer a device");
      }
      slots_.push_back({.name = name, .parameter = tensor, .group = group});
    }
  }
}

void Optimizer::set_learning_rate(double learning_rate) {
  if (!std::isfinite(learning_rate) || learning_rate < 0) {
    throw Error("learning rate " + std::to_string(learning_rate), "optimizer", "use a finite number, at least 0");
  }
  learning_rate_ = learning_rate;
}

// One a slot, contiguous; undefined where there is none.
std::vector<Tensor> Optimizer::gradients() const {
  std::vector<Tensor> gradients;
  gradients.reserve(slots_.size());
  for (const Slot& slot : slots_) {
    const Tensor gradient = slot.parameter.grad();
    if (gradient && (!(gradient.shape() == slot.parameter.shape()) || gradient.dtype() != slot.parameter.dtype() ||
                     !(gradient.device() == device_))) {
      throw Error("the gradient of " + printable(slot.name) + " is " + described(gradient) + ", the parameter " +
                      described(slot.parameter),
                  "optimizer", "set a gradient of the parameter's shape, dtype and device");
    }
    gradients.push_back(gradient ? gradient.contiguous() : gradient);
  }
  return gradients;
}

// Of the step that the slot has counted to, but for the gradient.
Optimizer::Move Optimizer::move_of(const Slot& slot) const {
  const ParameterGroup& group = groups_[slot.group];
  return {.parameter = slot.parameter.view(),
          .gradient = {},
          .step = slot.step,
          .learning_rate = learning_rate_ * group.learning_rate_scale,
          .learning_rate_scale = group.learning_rate_scale,
          .weight_decay = group.weight_decay,
          .state = &slot.state};
}

void Optimizer::step(double gradient_scale) {
  if (!std::isfinite(gradient_scale)) {
    throw Error("gradient scale " + std::to_string(gradient_scale), "optimizer",
                "the gradients hold NaN or infinity: lower the learning rate, or look at the data of this step");
  }
  const std::vector<Tensor> gradients = this->gradients();
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (gradients[i] && slots_[i].mine && slots_[i].step == 0) slots_[i].state = new_state(slots_[i].parameter);
  }
  std::vector<Move> moves;
  moves.reserve(slots_.size());
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!gradients[i]) continue;
    ++slot.step;
    if (!slot.mine) continue;
    moves.push_back(move_of(slot));
    moves.back().gradient = gradients[i].view();
    slot.parameter.storage()->bump_version();
  }
  if (!moves.empty()) move(moves, gradient_scale);
}

void Optimizer::zero_grad() const {
  for (const Slot& slot : slots_) {
    if (slot.parameter.grad()) slot.parameter.set_grad({});
  }
}

double Optimizer::gradient_norm() const {
  const std::vector<Tensor> gradients = this->gradients();
  std::vector<View> views;
  for (const Tensor& gradient : gradients) {
    if (gradient) views.push_back(gradient.view());
  }
  if (views.empty()) return 0;
  const Tensor sum = Tensor::empty({}, DType::float64, device_);
  backend(device_).optimizer().sum_of_squares(views, sum.view());
  return std::sqrt(sum.item<double>());
}

std::vector<Tensor> Optimizer::new_state(const Tensor& parameter) const {
  std::vector<Tensor> state;
  for (const auto& [what, shape] : state_of(parameter)) {
    state.push_back(Tensor::zeros(shape, parameter.dtype(), parameter.device()));
  }
  return state;
}

void Optimizer::set_share(const std::function<bool(size_t parameter)>& mine) {
  for (size_t i = 0; i < slots_.size(); ++i) slots_[i].mine = mine(i);
}

void Optimizer::visit_state(
    const std::function<void(const std::string& name, size_t parameter, const Tensor& value)>& visit) const {
  for (size_t slot = 0; slot < slots_.size(); ++slot) {
    const Slot& each = slots_[slot];
    if (each.step == 0) continue;
    visit(each.name + ".step", slot, Tensor::full({}, static_cast<double>(each.step), DType::int64));
    const std::vector<StateShape> layout = state_of(each.parameter);
    for (size_t i = 0; i < layout.size(); ++i) {
      const Tensor value =
          each.mine ? each.state[i] : Tensor::empty(layout[i].second, each.parameter.dtype(), each.parameter.device());
      visit(each.name + "." + layout[i].first, slot, value);
    }
  }
}

NamedTensors Optimizer::state() const {
  NamedTensors named;
  visit_state([&](const std::string& name, size_t parameter, const Tensor& value) {
    if (slots_[parameter].mine) named.emplace_back(name, value);
  });
  return named;
}

void Optimizer::load_state(const NamedTensors& state, const std::string& where) {
  std::unordered_map<std::string, Tensor> named(state.begin(), state.end());
  const auto take = [&](const std::string& name, const Shape& shape, DType dtype) {
    const auto found = named.find(name);
    if (found == named.end()) {
      throw Error("no tensor " + printable(name), where, "the state is of another optimizer, or not whole");
    }
    const Tensor tensor = found->second;
    named.erase(found);
    if (!(tensor.shape() == shape) || tensor.dtype() != dtype) {
      throw Error("tensor " + printable(name) + " is " + described(tensor) + ", not " + to_string(shape) + " " +
                      std::string(mica::name(dtype)),
                  where, "the state is of another model, or of another optimizer");
    }
    return tensor;
  };
  std::vector<Slot> slots = slots_;
  for (Slot& slot : slots) {
    slot.step = 0;
    slot.state.clear();
    if (!named.contains(slot.name + ".step")) continue;  // has not had a gradient
    slot.step = take(slot.name + ".step", {}, DType::int64).item<int64_t>();
    if (slot.step < 1) {
      throw Error("tensor " + printable(slot.name) + ".step is " + std::to_string(slot.step), where,
                  "a number of steps is at least 1");
    }
    for (const auto& [what, shape] : state_of(slot.parameter)) {
      const Tensor loaded = take(slot.name + "." + what, shape, slot.parameter.dtype());
      if (slot.mine) slot.state.push_back(loaded.to(device_).clone());
    }
  }
  if (!named.empty()) {
    throw Error("tensor " + printable(named.begin()->first) + " belongs to no parameter of this optimizer", where,
                "the state is of another model, or of another optimizer");
  }
  slots_ = std::move(slots);
}

}  // namespace mica
