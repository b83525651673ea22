// An optimizer's step as part of a recording: what changes from step to step is read from the device's memory.

#include "mica/base/error.h"
#include "mica/kernels/elementwise.h"
#include "mica/kernels/optimizer.h"
#include "mica/training/optimizers/optimizer.h"

namespace mica {
namespace {

// What clipping multiplies gradients by, as the host computes it for other steps, to the bit: min(1, max_norm / (norm +
// 1e-6)), or 1 without clipping. NaN where the norm is not finite.
Tensor clipping_scale(const Tensor& squares, double max_norm) {
  const Device device = squares.device();
  ElementwiseKernels& kernels = backend(device).elementwise();
  const auto number = [&](double value) { return Tensor::full({}, value, DType::float64, device); };
  const Tensor norm = number(0), nothing = number(0);
  Tensor scale = number(1);
  kernels.unary(UnaryOp::sqrt, squares.view(), norm.view());
  kernels.binary(BinaryOp::subtract, norm.view(), norm.view(), nothing.view());
  if (max_norm > 0) {
    const Tensor clipped = number(max_norm);
    kernels.affine(norm.view(), 1, 1e-6, norm.view());
    kernels.binary(BinaryOp::divide, clipped.view(), norm.view(), clipped.view());
    kernels.binary(BinaryOp::minimum, clipped.view(), scale.view(), scale.view());
  }
  kernels.binary(BinaryOp::add, scale.view(), nothing.view(), scale.view());
  return scale;
}

}  // namespace

std::vector<double> Optimizer::numbers_of(const Move& /*move*/) const {
  return {};
}

void Optimizer::move_recorded(const std::vector<Move>& /*moves*/, const View& /*gradient_scale*/) {
  throw Error("a recorded step", "optimizer", "this optimizer has none: call step()");
}

std::vector<double> Optimizer::next_numbers() const {
  std::vector<double> all;
  for (const Slot& slot : slots_) {
    Move move = move_of(slot);
    ++move.step;
    const std::vector<double> numbers = numbers_of(move);
    all.insert(all.end(), numbers.begin(), numbers.end());
  }
  return all;
}

std::vector<size_t> Optimizer::record_step(const Tensor& numbers, const Tensor& squares, double max_norm) {
  const std::vector<Tensor> gradients = this->gradients();
  std::vector<View> views;
  std::vector<Move> moves;
  std::vector<size_t> moved;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!gradients[i]) continue;
    if (slots_[i].step == 0 || !slots_[i].mine) {
      throw Error(
          "the first step of parameter " + printable(slots_[i].name) + ", or one of another process, in a recording",
          "optimizer", "call step() first");
    }
    views.push_back(gradients[i].view());
    moves.push_back(move_of(slots_[i]));
    moves.back().gradient = gradients[i].view();
    moves.back().numbers = numbers.select(0, static_cast<int64_t>(i)).view();
    moved.push_back(i);
  }
  if (moved.empty()) throw Error("no gradient for a step", "optimizer", "call backward() first");
  backend(device_).optimizer().sum_of_squares(views, squares.view());
  move_recorded(moves, clipping_scale(squares, max_norm).view());
  return moved;
}

void Optimizer::count_step(const std::vector<size_t>& parameters) {
  for (const size_t i : parameters) {
    ++slots_[i].step;
    slots_[i].parameter.storage()->bump_version();
  }
}

std::vector<const void*> Optimizer::addresses() const {
  std::vector<const void*> all;
  for (const Slot& slot : slots_) {
    all.push_back(slot.parameter.requires_grad() ? slot.parameter.raw_data() : nullptr);
    for (const Tensor& each : slot.state) all.push_back(each.raw_data());
  }
  return all;
}

}  // namespace mica
