// One step of a Trainer: the gradients of its batches, and the move by them; kernel by kernel, or, where it can be
// recorded, as a whole.

#include <algorithm>
#include <cmath>
#include <utility>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/out_of_memory.h"
#include "mica/kernels/random.h"
#include "mica/training/loss.h"
#include "mica/training/trainer_impl.h"

namespace mica {
namespace {

void check_loss(double value, int64_t step) {
  if (std::isfinite(value)) return;
  throw Error("the loss of step " + std::to_string(step) + " is " + (std::isnan(value) ? "not a number" : "infinite"),
              "trainer", "lower learning_rate, check the labels of these rows, or train without bf16");
}

// Dropout's numbers of one batch: they depend on the seed and on where the run stands, so that a resumed run draws the
// same.
uint64_t dropout_seed(int64_t seed, int64_t step, size_t batch) {
  const auto at = static_cast<uint64_t>(step);
  const auto part = static_cast<uint64_t>(batch);
  const auto low = philox({static_cast<uint32_t>(at), static_cast<uint32_t>(at >> 32), static_cast<uint32_t>(part), 0},
                          static_cast<uint64_t>(seed));
  return uint64_t{low[0]} << 32 | low[1];
}

// What the loss of batch i counts in the loss of its step: the mean over all items of all batches; nothing, for one
// without items where others have some.
std::optional<double> share_of(const StepBatches& taken, size_t i, bool weigh) {
  if (!weigh || taken.all_items == 0) return 1;
  if (taken.items[i] == 0) return std::nullopt;
  return static_cast<double>(taken.items[i]) / static_cast<double>(taken.all_items);
}

}  // namespace

Tensor Trainer::Impl::loss_of(const ModelInputs& batch) const {
  if (options.compute_loss) return options.compute_loss(model, batch);
  ModelInputs inputs = batch;
  const bool smooth = arguments.label_smoothing_factor > 0 && batch.labels.defined();
  inputs.loss_only = !smooth;
  const ModelOutput output = model(inputs);
  if (smooth) return smoothed_loss(model, inputs, output, arguments.label_smoothing_factor);
  if (!output.loss.defined()) {
    throw Error("the model gives no loss for these rows", "trainer",
                "the data needs a column \"labels\", or TrainerParts::compute_loss is needed");
  }
  return output.loss;
}

// The loss of the steps so far, from the device; `step` is the last of them.
void Trainer::Impl::read_loss(int64_t step) {
  if (!unread_loss.defined()) return;
  state.loss_since_log = std::exchange(unread_loss, {}).item<double>();
  check_loss(state.loss_since_log, step);
}

// The gradients of a step: those of the loss's mean over all items of all batches. Returns this process's part of that
// mean. On a device that part is only added to the loss not yet read: the host need not wait for it.
double Trainer::Impl::differentiate(StepBatches* taken) {
  std::vector<ModelInputs>& batches = taken->batches;
  const bool weigh = group != nullptr || batches.size() > 1;
  const auto counts = [&](size_t i) { return share_of(*taken, i, weigh).has_value(); };
  size_t last = batches.size();  // the last with any label
  while (last > 0 && !counts(last - 1)) --last;
  double total = 0;
  Tensor total_on_device;
  for (size_t i = 0; i < batches.size(); ++i) {
    if (!counts(i)) continue;
    // Among all processes' batches, so that each draws other numbers.
    const size_t number = i * static_cast<size_t>(size_of(group)) + static_cast<size_t>(rank_of(group));
    manual_seed(dropout_seed(arguments.seed, state.global_step, number));
    const double share = *share_of(*taken, i, weigh);
    Tensor loss = loss_of(batches[i]);
    batches[i] = {};
    if (share != 1) loss = affine(loss, share);
    if (group == nullptr && !loss.device().is_cpu()) {
      const Tensor value = loss.detach().to(DType::float64).reshape({});
      total_on_device = total_on_device.defined() ? add(total_on_device, value) : value;
    } else {
      const auto value = loss.item<double>();
      check_loss(value, state.global_step + 1);
      total += value;
    }
    if (buckets != nullptr && i + 1 == last) {
      backward_watched(loss, [this](const AutogradMeta& leaf) { buckets->ready(leaf); });
    } else {
      backward(loss);
    }
    if (i + 1 < batches.size()) notify(&TrainerCallback::on_substep_end);
  }
  if (total_on_device.defined()) {
    if (!unread_loss.defined()) {
      unread_loss = Tensor::full({}, state.loss_since_log, DType::float64, total_on_device.device());
    }
    unread_loss = add(unread_loss, total_on_device);
  }
  return total;
}

// Before the step's move by the gradients.
void Trainer::Impl::check_norm(double norm) {
  if (std::isfinite(norm)) return;
  read_loss(state.global_step + 1);
  throw Error("the gradient of step " + std::to_string(state.global_step + 1) + " is no number", "trainer",
              "lower learning_rate, or train without bf16");
}

// Where steps can be recorded at all: nobody but the model makes the loss, and no other process waits for gradients.
std::unique_ptr<RecordedTraining> Trainer::Impl::recorded_training() {
  const bool own_loss = !options.compute_loss && arguments.label_smoothing_factor == 0;
  if (group != nullptr || !own_loss || !backend(model.device()).records()) return nullptr;
  return std::make_unique<RecordedTraining>(
      model, *optimizer, arguments.max_grad_norm, [this](const ModelInputs& batch) { return loss_of(batch); },
      [this] { zero_grad(); });
}

// A step that is started as a whole. Nothing, where it is not recorded; then nothing was done.
std::optional<double> Trainer::Impl::step_recorded(const StepBatches& taken) {
  if (recorded == nullptr) return std::nullopt;
  std::vector<RecordedTraining::Part> parts;
  for (size_t i = 0; i < taken.batches.size(); ++i) {
    const std::optional<double> share = share_of(taken, i, taken.batches.size() > 1);
    if (share) parts.push_back({taken.batches[i], dropout_seed(arguments.seed, state.global_step, i), *share});
  }
  if (!std::all_of(callbacks.begin(), callbacks.end(), [](const auto& each) { return each->ignores_gradients(); })) {
    recorded->meet(parts);
    return std::nullopt;
  }
  const std::optional<double> norm = recorded->run(parts, &unread_loss, state.loss_since_log);
  if (!norm) return norm;
  for (size_t i = 0; i + 1 < taken.batches.size(); ++i) {
    if (share_of(taken, i, true)) notify(&TrainerCallback::on_substep_end);
  }
  check_norm(*norm);
  return norm;
}

// A step kernel by kernel. Returns the gradient's norm.
double Trainer::Impl::step_unrecorded(StepBatches taken) {
  state.loss_since_log += differentiate_together(&taken);
  double norm = 0;
  together(group, [&] {
    norm = optimizer->gradient_norm();
    check_norm(norm);
    // As clip_grad_norm_ has it: max / (norm + 1e-6), at most 1.
    const double scale = arguments.max_grad_norm > 0 ? std::min(1.0, arguments.max_grad_norm / (norm + 1e-6)) : 1;
    notify(&TrainerCallback::on_pre_optimizer_step);
    optimizer->step(scale);
    zero_grad();
  });
  if (buckets != nullptr) buckets->share_parameters();
  return norm;
}

// One step. Returns the gradient's norm.
double Trainer::Impl::step(StepBatches taken) {
  if (const std::optional<double> norm = step_recorded(taken)) return *norm;
  if (recorded == nullptr || recorded->empty()) return step_unrecorded(std::move(taken));
  const StepBatches again = taken;
  const Tensor unread = unread_loss;
  const double loss = state.loss_since_log;
  try {
    return step_unrecorded(std::move(taken));
  } catch (const OutOfMemory&) {
    // Recordings have memory that this step may need; nothing has moved yet.
    recorded->forget();
    zero_grad();
    unread_loss = unread;
    state.loss_since_log = loss;
  }
  return step_unrecorded(again);
}

}  // namespace mica
