// What the Trainers of several processes do together.

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "mica/base/error.h"
#include "mica/training/trainer_impl.h"

namespace mica {
namespace {

std::vector<Tensor> trained(const Optimizer& optimizer) {
  std::vector<Tensor> all;
  for (const ParameterGroup& group : optimizer.groups()) {
    for (const auto& [name, tensor] : group.parameters) all.push_back(tensor);
  }
  return all;
}

// The numbers of the optimizer's parameters in the order of the model's: groups list them by decay and rate.
std::vector<size_t> as_made(const NamedTensors& model, const std::vector<Tensor>& parameters) {
  std::unordered_map<const void*, size_t> places;
  for (const auto& [name, tensor] : model) places.emplace(tensor.raw_data(), places.size());
  const auto place = [&](size_t parameter) {
    const auto found = places.find(parameters[parameter].raw_data());
    return found == places.end() ? places.size() : found->second;
  };
  std::vector<size_t> order(parameters.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return place(a) < place(b); });
  return order;
}

}  // namespace

TrainOutput Trainer::Impl::train_in_group() {
  // What only training needs.
  struct Release {
    Impl* trainer;
    ~Release() {
      trainer->buckets.reset();
      trainer->recorded.reset();
    }
  } const release{this};
  try {
    return train();
  } catch (const GroupError&) {
    throw;
  } catch (const std::exception& error) {
    if (group != nullptr) group->fail(error.what());
    throw;
  }
}

// Makes sure that all have the same to do, and gives each its share of the optimizer.
void Trainer::Impl::join(const RunPlan& plan) {
  if (group == nullptr) return;
  const std::vector<Tensor> parameters = trained(*optimizer);
  int64_t numbers = 0, fixed = 0;
  for (const Tensor& each : parameters) numbers += each.numel();
  for (const auto& [name, tensor] : model.parameters()) fixed += tensor.numel();
  const std::vector<int64_t> mine{
      plan.rows, plan.batches_per_epoch, plan.max_steps, static_cast<int64_t>(parameters.size()), numbers, fixed};
  const auto count = static_cast<int64_t>(mine.size());
  const Tensor all = Tensor::zeros({group->size(), count}, DType::int64);
  group->all_gather(Tensor::from(mine), all);
  const auto values = all.to_vector<int64_t>();
  together(group, [&] {
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] == values[i % mine.size()]) continue;
      throw Error("process " + std::to_string(i / mine.size()) + " has another model, other data or other arguments",
                  "training together", "start all processes with the same ones");
    }
    buckets = std::make_unique<GradientBuckets>(group, parameters, as_made(trained_parameters(), parameters));
  });
  optimizer->set_share([this](size_t parameter) { return buckets->owner(parameter) == group->rank(); });
}

// Everyone begins with, and comes back to, what rank 0 has.
void Trainer::Impl::share_values() const {
  if (group == nullptr) return;
  const NoGrad no_grad;
  std::unordered_set<const void*> shared;
  for (const auto& [name, each] : trained_parameters()) {
    if (each.numel() == 0 || !shared.insert(each.raw_data()).second) continue;
    const Tensor values = each.detach().contiguous();
    group->broadcast(values, 0);
    if (values.raw_data() != each.raw_data()) each.detach().copy_(values);
  }
}

double Trainer::Impl::differentiate_together(StepBatches* taken) {
  if (group == nullptr) return differentiate(taken);
  std::exception_ptr failure;
  const Tensor total = Tensor::zeros({}, DType::float64);
  buckets->begin();
  try {
    total.fill_(differentiate(taken));
  } catch (...) {
    failure = std::current_exception();
  }
  buckets->finish();  // the others wait for these sums, whatever happened here
  agree(group, failure);
  group->all_reduce(total);
  return total.item<double>();
}

// What is done next is what rank 0 does next. True: someone was interrupted.
bool Trainer::Impl::share_control(bool interrupted) {
  if (group == nullptr) return interrupted;
  const Tensor flags = Tensor::zeros({6}, DType::int64);
  auto* values = flags.data<int64_t>();
  bool* const decisions[] = {&control.should_log, &control.should_evaluate, &control.should_save,
                             &control.should_epoch_stop, &control.should_training_stop};
  for (size_t i = 0; i < 5; ++i) values[i] = is_first() && *decisions[i] ? 1 : 0;
  values[5] = interrupted ? 1 : 0;
  group->all_reduce(flags);
  for (size_t i = 0; i < 5; ++i) *decisions[i] = values[i] != 0;
  return values[5] != 0;
}

// Whole on rank 0, empty on the others: tensor after tensor, so that no other process holds all of it.
NamedTensors Trainer::Impl::optimizer_state() const {
  if (group == nullptr) return optimizer->state();
  NamedTensors all;
  optimizer->visit_state([&](const std::string& name, size_t parameter, const Tensor& value) {
    group->broadcast(value, buckets->owner(parameter));
    if (is_first()) all.emplace_back(name, value);
  });
  return all;
}

LogEntry Trainer::Impl::share_metrics(const LogEntry& metrics) const {
  if (group == nullptr) return metrics;
  std::string names;
  std::vector<double> numbers;
  for (const auto& [name, value] : metrics) {
    names += name + '\n';
    numbers.push_back(value);
  }
  names = broadcast_text(group, names);
  LogEntry shared;
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = names.find('\n', begin);
    shared.emplace_back(names.substr(begin, end - begin), 0);
    begin = end + 1;
  }
  if (shared.empty()) return shared;
  numbers.resize(shared.size());
  const Tensor values = Tensor::from(numbers);
  group->broadcast(values, 0);
  const auto received = values.to_vector<double>();
  for (size_t i = 0; i < shared.size(); ++i) shared[i].second = received[i];
  return shared;
}

}  // namespace mica
