#include "mica/training/recorded_training.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

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
std::string shape_of(ModelInputs inputs, bool training) {
  std::string shape = training ? "training" : "evaluation";
  for (const std::string& name : ModelInputs::names()) {
    const Tensor& each = inputs[name];
    if (each.defined()) shape += " " + name + to_string(each.shape()) + std::string(mica::name(each.dtype()));
  }
  for (const int64_t length : inputs.lengths) shape += " " + std::to_string(length);
  return shape + " prefix " + std::to_string(inputs.prefix_length);
}

int64_t aligned(int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

struct RecordedTraining::Step {
  /// What is uploaded for each replay: the seed, the optimizer's numbers, the batch's tensors.
  struct Part {
    std::string name;  // of a tensor
    int64_t offset = 0, bytes = 0;
  };
  std::shared_ptr<Storage> uploaded;
  std::vector<std::byte> upload;
  Tensor seed, numbers;
  std::vector<Part> parts;
  ModelInputs inputs;  // in the uploaded memory

  std::vector<size_t> moved;
  std::vector<const void*> addresses;
  uint64_t streams = 0;  // of random numbers, that a step takes
  int64_t used = 0;
  std::unique_ptr<Recording> recording;  // destroyed first

  Step(const ModelInputs& batch, const Shape& of_numbers, Device device);
  void put(const ModelInputs& batch, uint64_t with_seed, const std::vector<double>& with_numbers);
};

RecordedTraining::Step::Step(const ModelInputs& batch, const Shape& of_numbers, Device device) : inputs(batch) {
  const int64_t numbers_at = kAlignment;
  int64_t size = numbers_at + aligned(of_numbers.numel() * item_size(DType::float64));
  for (const std::string& name : ModelInputs::names()) {
    const Tensor& each = inputs[name];
    if (!each.defined()) continue;
    parts.push_back({name, size, each.numel() * item_size(each.dtype())});
    size += aligned(parts.back().bytes);
  }
  upload.resize(static_cast<size_t>(size));
  uploaded = Storage::allocate(size, device);
  const auto tensor_at = [&](int64_t offset, const Shape& shape, DType dtype) {
    return Tensor(uploaded, offset / item_size(dtype), shape, dtype);
  };
  seed = tensor_at(0, {}, DType::int64);
  numbers = tensor_at(numbers_at, of_numbers, DType::float64);
  for (const Part& part : parts) {
    Tensor& each = inputs[part.name];
    each = tensor_at(part.offset, each.shape(), each.dtype());
  }
}

void RecordedTraining::Step::put(const ModelInputs& batch, uint64_t with_seed,
                                 const std::vector<double>& with_numbers) {
  ModelInputs given = batch;
  std::memcpy(upload.data(), &with_seed, sizeof(with_seed));
  std::memcpy(upload.data() + kAlignment, with_numbers.data(), with_numbers.size() * sizeof(double));
  for (const Part& part : parts) {
    if (part.bytes == 0) continue;
    std::memcpy(upload.data() + part.offset, given[part.name].raw_data(), static_cast<size_t>(part.bytes));
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

// The host sees nothing of the batch meanwhile, so that whatever it looks at is an error, and whatever it copies to the
// device is the same for all batches of the shape.
std::unique_ptr<RecordedTraining::Step> RecordedTraining::record(const ModelInputs& batch) {
  Backend& on = backend(model_.device());
  const auto rows = static_cast<int64_t>(optimizer_.next_numbers().size()) / optimizer_.step_numbers();
  std::unique_ptr<Step> step;
  manual_seed(0);
  try {
    on.memory().trim();  // what steps that are not recorded left there
    step = std::make_unique<Step>(batch, Shape{rows, optimizer_.step_numbers()}, model_.device());
    step->recording = mica::record(on, {.seed = step->seed.view(), .repeats_uploads = true}, [&] {
      const Tensor loss = loss_(step->inputs);
      const Tensor value = loss.detach().to(DType::float64).reshape({});
      on.elementwise().binary(BinaryOp::add, loss_sum_.view(), value.view(), loss_sum_.view());
      backward(loss);
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

void RecordedTraining::meet(const ModelInputs& batch) {
  if (const auto inputs = recordable(model_, batch)) known(shape_of(*inputs, model_.training()));
}

std::optional<double> RecordedTraining::run(const ModelInputs& batch, uint64_t seed, Tensor* loss_sum,
                                            double loss_before) {
  if (optimizer_.step_numbers() == 0) return std::nullopt;
  ++count_;
  const std::optional<ModelInputs> inputs = recordable(model_, batch);
  if (!inputs) return std::nullopt;
  const std::string shape = shape_of(*inputs, model_.training());
  auto found = steps_.find(shape);
  if (found != steps_.end() && found->second->addresses != optimizer_.addresses()) {
    forget();
    found = steps_.end();
  }
  if (found == steps_.end()) {
    const auto [met, first] = known(shape);
    if (first || !met->second || refused_ >= kMostRefused || !room()) return std::nullopt;
    std::shared_ptr<Step> made = record(*inputs);
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
  step.put(*inputs, seed, optimizer_.next_numbers());
  step.recording->replay();
  const double norm = std::sqrt(squares_.item<double>());
  set_random_state({seed, step.streams});
  if (std::isfinite(norm)) optimizer_.count_step(step.moved);
  return norm;
}

}  // namespace mica
