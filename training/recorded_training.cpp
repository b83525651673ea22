#include "mica/training/recorded_training.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "mica/autograd/elementwise.h"
#include "mica/autograd/random.h"
#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/elementwise.h"

namespace mica {
namespace {

constexpr size_t kMostSteps = 4;      // recorded at once: each has the memory of its activations
constexpr int64_t kIdle = 64;         // steps after which one makes room for another
constexpr size_t kMostShapes = 1024;  // remembered
constexpr int64_t kMostRefused = 3;   // shapes whose steps cannot be recorded, before no other is tried
constexpr int64_t kAlignment = 64;    // bytes, of what is uploaded together

bool all_are(const Tensor& integers, int64_t least, int64_t most) {
  const std::vector<int64_t> values = integers.to_vector<int64_t>();
  return std::all_of(values.begin(), values.end(), [&](int64_t each) { return each >= least && each <= most; });
}

// The batch as a step is recorded of it. Nothing where the host would look at more than shapes.
std::optional<ModelInputs> recordable(const Model& model, const ModelInputs& batch) {
  ModelInputs inputs = batch;
  if (inputs.prefix != nullptr) return std::nullopt;
  for (const std::string& name : ModelInputs::names()) {
    if (inputs[name].defined() && !inputs[name].device().is_cpu()) return std::nullopt;
    if (inputs[name].defined()) inputs[name] = inputs[name].contiguous();
  }
  if (inputs.attention_mask.defined()) {
    if (!all_are(inputs.attention_mask, 0, 1)) return std::nullopt;
    if (all_are(inputs.attention_mask, 1, 1)) inputs.attention_mask = {};
  }
  // A language head multiplies only rows that have a label by the vocabulary: as many as there are.
  const Task task = model.task();
  const bool picks = task != Task::base && task != Task::text_encoding && task != Task::token_classification &&
                     inputs.labels.defined() && !is_floating(inputs.labels.dtype()) &&
                     !model.head().targets(inputs).empty();
  if (picks && !all_are(inputs.labels, 0, INT64_MAX)) return std::nullopt;
  return inputs;
}

// All that the host may know of a batch.
std::string shape_of(ModelInputs inputs) {
  std::string shape;
  for (const std::string& name : ModelInputs::names()) {
    const Tensor& each = inputs[name];
    if (each.defined()) shape += " " + name + to_string(each.shape()) + std::string(mica::name(each.dtype()));
  }
  for (const int64_t length : inputs.lengths) shape += " " + std::to_string(length);
  return shape + " prefix " + std::to_string(inputs.prefix_length);
}

using Parts = std::vector<RecordedTraining::Part>;

std::optional<Parts> recordable(const Model& model, const Parts& parts) {
  Parts result;
  for (const RecordedTraining::Part& each : parts) {
    std::optional<ModelInputs> batch = recordable(model, each.batch);
    if (!batch) return std::nullopt;
    result.push_back({std::move(*batch), each.seed, each.share});
  }
  return result.empty() ? std::nullopt : std::optional(std::move(result));
}

std::string shape_of(const Parts& parts, bool training) {
  std::string shape = training ? "training" : "evaluation";
  for (const RecordedTraining::Part& each : parts) {
    uint64_t share = 0;
    std::memcpy(&share, &each.share, sizeof(share));
    shape += " batch of " + std::to_string(share) + shape_of(each.batch);
  }
  return shape;
}

int64_t aligned(int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

struct RecordedTraining::Step {
  /// What is uploaded for each replay: the seeds, the optimizer's numbers, the batches' tensors.
  struct Place {
    size_t batch = 0;
    std::string name;  // of a tensor
    int64_t offset = 0, bytes = 0;
  };
  std::shared_ptr<Storage> uploaded;
  std::vector<std::byte> upload;
  Tensor seeds, numbers;
  std::vector<Place> places;
  Parts parts;  // in the uploaded memory

  std::vector<size_t> moved;
  std::vector<const void*> addresses;
  uint64_t streams = 0;  // of random numbers, that the last batch takes
  int64_t used = 0;
  std::unique_ptr<Recording> recording;  // destroyed first

  Step(Parts of, const Shape& of_numbers, Device device);
  void put(const Parts& given, const std::vector<double>& with_numbers);
};

RecordedTraining::Step::Step(Parts of, const Shape& of_numbers, Device device) : parts(std::move(of)) {
  const auto batches = static_cast<int64_t>(parts.size());
  const int64_t numbers_at = aligned(batches * item_size(DType::int64));
  int64_t size = numbers_at + aligned(of_numbers.numel() * item_size(DType::float64));
  for (size_t i = 0; i < parts.size(); ++i) {
    for (const std::string& name : ModelInputs::names()) {
      const Tensor& each = parts[i].batch[name];
      if (!each.defined()) continue;
      places.push_back({i, name, size, each.numel() * item_size(each.dtype())});
      size += aligned(places.back().bytes);
    }
  }
  upload.resize(static_cast<size_t>(size));
  uploaded = Storage::allocate(size, device);
  const auto tensor_at = [&](int64_t offset, const Shape& shape, DType dtype) {
    return Tensor(uploaded, offset / item_size(dtype), shape, dtype);
  };
  seeds = tensor_at(0, {batches}, DType::int64);
  numbers = tensor_at(numbers_at, of_numbers, DType::float64);
  for (const Place& place : places) {
    Tensor& each = parts[place.batch].batch[place.name];
    each = tensor_at(place.offset, each.shape(), each.dtype());
  }
}

void RecordedTraining::Step::put(const Parts& given, const std::vector<double>& with_numbers) {
  for (size_t i = 0; i < given.size(); ++i) {
    std::memcpy(upload.data() + i * sizeof(uint64_t), &given[i].seed, sizeof(uint64_t));
  }
  const int64_t numbers_at = aligned(static_cast<int64_t>(given.size() * sizeof(uint64_t)));
  std::memcpy(upload.data() + numbers_at, with_numbers.data(), with_numbers.size() * sizeof(double));
  for (const Place& place : places) {
    if (place.bytes == 0) continue;
    ModelInputs batch = given[place.batch].batch;
    std::memcpy(upload.data() + place.offset, batch[place.name].raw_data(), static_cast<size_t>(place.bytes));
  }
  backend(uploaded->device()).memory().copy_from_host(uploaded->data(), upload.data(), uploaded->bytes());
}

RecordedTraining::RecordedTraining(Model model, Optimizer& optimizer, double max_grad_norm, LossFunction loss,
                                   ZeroGradFunction zero_grad)
    : model_(std::move(model)),
      optimizer_(optimizer),
      max_grad_norm_(max_grad_norm),
      loss_(std::move(loss)),
      zero_grad_(std::move(zero_grad)),
      loss_sum_(Tensor::zeros({}, DType::float64, model_.device())),
      squares_(Tensor::zeros({}, DType::float64, model_.device())) {}

// The host sees nothing of the batches meanwhile, so that whatever it looks at is an error, and whatever it copies to
// the device is the same for all steps of the shape.
std::unique_ptr<RecordedTraining::Step> RecordedTraining::record(const Parts& parts) {
  Backend& on = backend(model_.device());
  const auto rows = static_cast<int64_t>(optimizer_.next_numbers().size()) / optimizer_.step_numbers();
  std::unique_ptr<Step> step;
  try {
    on.memory().trim();  // what steps that are not recorded left there
    step = std::make_unique<Step>(parts, Shape{rows, optimizer_.step_numbers()}, model_.device());
    step->recording = mica::record(on, {.repeats_uploads = true}, [&] {
      Tensor total;
      for (size_t i = 0; i < step->parts.size(); ++i) {
        record_seed(step->seeds.select(0, static_cast<int64_t>(i)).view());
        manual_seed(0);
        Tensor loss = loss_(step->parts[i].batch);
        if (step->parts[i].share != 1) loss = affine(loss, step->parts[i].share);
        const Tensor value = loss.detach().to(DType::float64).reshape({});
        total = total.defined() ? add(total, value) : value;
        backward(loss);
      }
      on.elementwise().binary(BinaryOp::add, loss_sum_.view(), total.view(), loss_sum_.view());
      step->moved = optimizer_.record_step(step->numbers, squares_, max_grad_norm_);
      zero_grad_();
    });
  } catch (const Error&) {
    zero_grad_();
    return nullptr;
  }
  step->streams = random_state().stream;
  step->addresses = optimizer_.addresses();
  return step;
}

// Room for one more recording, at the cost of one that has not been used for long.
bool RecordedTraining::room() {
  if (steps_.size() < kMostSteps) return true;
  const auto oldest = std::min_element(steps_.begin(), steps_.end(),
                                       [](const auto& a, const auto& b) { return a.second->used < b.second->used; });
  if (count_ - oldest->second->used < kIdle) return false;
  steps_.erase(oldest);
  return true;
}

std::pair<std::map<std::string, bool>::iterator, bool> RecordedTraining::known(const std::string& shape) {
  if (known_.size() >= kMostShapes) known_.clear();
  return known_.emplace(shape, true);
}

void RecordedTraining::meet(const Parts& parts) {
  if (const auto kept = recordable(model_, parts)) known(shape_of(*kept, model_.training()));
}

std::optional<double> RecordedTraining::run(const Parts& parts, Tensor* loss_sum, double loss_before) {
  if (optimizer_.step_numbers() == 0) return std::nullopt;
  ++count_;
  const std::optional<Parts> kept = recordable(model_, parts);
  if (!kept) return std::nullopt;
  const std::string shape = shape_of(*kept, model_.training());
  auto found = steps_.find(shape);
  if (found != steps_.end() && found->second->addresses != optimizer_.addresses()) {
    forget();
    found = steps_.end();
  }
  if (found == steps_.end()) {
    const auto [met, first] = known(shape);
    if (first || !met->second || refused_ >= kMostRefused || !room()) return std::nullopt;
    std::shared_ptr<Step> made = record(*kept);
    if (made == nullptr) {
      met->second = false;
      ++refused_;
      return std::nullopt;
    }
    found = steps_.emplace(shape, std::move(made)).first;
  }
  Step& step = *found->second;
  step.used = count_;
  if (!loss_sum->defined()) {
    backend(model_.device()).memory().copy_from_host(loss_sum_.raw_data(), &loss_before, sizeof(loss_before));
  } else if (!loss_sum->is_same(loss_sum_)) {
    loss_sum_.copy_(*loss_sum);
  }
  *loss_sum = loss_sum_;
  step.put(*kept, optimizer_.next_numbers());
  step.recording->replay();
  const double norm = std::sqrt(squares_.item<double>());
  set_random_state({kept->back().seed, step.streams});
  if (std::isfinite(norm)) optimizer_.count_step(step.moved);
  return norm;
}

}  // namespace mica
