#include "mica/training/distributed/gradient_buckets.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>
#include <utility>

namespace mica {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

GradientBuckets::GradientBuckets(std::shared_ptr<Communicator> group, std::vector<Tensor> parameters,
                                 std::vector<size_t> order)
    : group_(std::move(group)),
      parameters_(std::move(parameters)),
      order_(order.rbegin(), order.rend()),
      places_(parameters_.size()) {
  int64_t all = 0;
  for (const Tensor& each : parameters_) {
    if (!group_->supports(each.device())) {
      throw Error("several processes with parameters on " + to_string(each.device()), "training together",
                  "make the group with_device(), train on the CPU, or with one process");
    }
    all += each.numel() * item_size(each.dtype());
  }
  const int64_t most = std::min(kBucketBytes, std::max<int64_t>(1, all / (4 * int64_t{group_->size()})));
  for (const size_t i : order_) {
    const Tensor& parameter = parameters_[i];
    const int64_t item = item_size(parameter.dtype());
    const bool fits = !buckets_.empty() &&
                      parameters_[buckets_.back().parameters.front()].dtype() == parameter.dtype() &&
                      (buckets_.back().numel + parameter.numel()) * item <= most;
    if (!fits) buckets_.emplace_back();
    Bucket& bucket = buckets_.back();
    places_[i] = {.bucket = buckets_.size() - 1, .offset = bucket.numel};
    bucket.parameters.push_back(i);
    bucket.numel += parameter.numel();
    numbers_.emplace(parameter.autograd_meta().get(), i);
  }
  // The largest first, each to the process that has the least.
  std::vector<size_t> by_size(buckets_.size());
  std::iota(by_size.begin(), by_size.end(), size_t{0});
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](size_t a, size_t b) { return buckets_[a].numel > buckets_[b].numel; });
  std::vector<int64_t> load(static_cast<size_t>(group_->size()));
  for (const size_t each : by_size) {
    Bucket& bucket = buckets_[each];
    const auto least = std::min_element(load.begin(), load.end());
    *least += bucket.numel;
    bucket.owner = static_cast<int>(least - load.begin());
    for (size_t k = 0; k < bucket.parameters.size(); ++k)
      places_[bucket.parameters[k]].flag = bucket.numel + static_cast<int64_t>(k);
    const Tensor& first = parameters_[bucket.parameters.front()];
    bucket.values =
        Tensor::zeros({bucket.numel + static_cast<int64_t>(bucket.parameters.size())}, first.dtype(), first.device());
  }
  sender_ = std::jthread([this] { send(); });
}

GradientBuckets::~GradientBuckets() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (running_) group_->fail("it left in the middle of a step");
  }
  changed_.notify_all();
}

Tensor GradientBuckets::part(size_t parameter) const {
  const Place& place = places_[parameter];
  const Tensor& like = parameters_[parameter];
  return buckets_[place.bucket].values.slice(0, place.offset, place.offset + like.numel()).reshape(like.shape());
}

// Into its bucket, which then is the gradient's own memory: a gradient is never there twice.
void GradientBuckets::put(size_t parameter) {
  Place& place = places_[parameter];
  Bucket& bucket = buckets_[place.bucket];
  const Tensor target = part(parameter);
  const Tensor gradient = parameters_[parameter].grad();
  if (gradient) {
    target.copy_(gradient);
    parameters_[parameter].set_grad(target);
  } else {
    target.fill_(0);
  }
  bucket.values.slice(0, place.flag, place.flag + 1).fill_(gradient ? 1 : 0);
  place.done = true;
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    full = --bucket.missing == 0;
  }
  if (full) changed_.notify_all();
}

void GradientBuckets::begin() {
  for (Place& place : places_) place.done = false;
  {
    const std::lock_guard lock(mutex_);
    for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters.size();
    sent_ = 0;
    failure_ = nullptr;
    running_ = true;
  }
  changed_.notify_all();
}

void GradientBuckets::ready(const AutogradMeta& leaf) {
  const auto found = numbers_.find(&leaf);
  if (found != numbers_.end() && !places_[found->second].done) put(found->second);
}

void GradientBuckets::finish() {
  const NoGrad no_grad;
  for (const size_t i : order_) {
    if (!places_[i].done) put(i);
  }
  const Clock::time_point start = Clock::now();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !running_; });
    waited_seconds_ += seconds_since(start);
    if (failure_) std::rethrow_exception(failure_);
  }
  group_->join();
  for (const Bucket& bucket : buckets_) {
    const auto flags = bucket.values.slice(0, bucket.numel, bucket.values.size(0)).to(DType::float64);
    const auto any = flags.to_vector<double>();
    for (size_t k = 0; k < any.size(); ++k) {
      const size_t parameter = bucket.parameters[k];
      parameters_[parameter].set_grad(any[k] > 0 ? part(parameter) : Tensor());
    }
  }
}

// The sender's life: bucket after bucket, in the one order that all processes have.
void GradientBuckets::send() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || (running_ && buckets_[sent_].missing == 0); });
    if (stopping_) return;
    const Tensor values = buckets_[sent_].values;
    lock.unlock();
    const Clock::time_point start = Clock::now();
    std::exception_ptr failure;
    try {
      group_->begin_all_reduce(values);
    } catch (...) {
      failure = std::current_exception();
    }
    const double took = seconds_since(start);
    lock.lock();
    busy_seconds_ += took;
    failure_ = failure;
    ++sent_;
    if (failure || sent_ == buckets_.size()) {
      running_ = false;
      changed_.notify_all();
    }
  }
}

void GradientBuckets::share_parameters() {
  const NoGrad no_grad;
  for (const Tensor& each : parameters_) each.set_grad({});
  for (const Bucket& bucket : buckets_) {
    const bool own = bucket.owner == group_->rank();
    for (const size_t each : bucket.parameters) {
      if (own) part(each).copy_(parameters_[each].detach());
    }
    group_->broadcast(bucket.values, bucket.owner);
    for (const size_t each : bucket.parameters) {
      if (!own) parameters_[each].detach().copy_(part(each));
    }
  }
}

}  // namespace mica
