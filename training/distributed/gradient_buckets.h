#pragma once
// The parameters of a model that several processes train, packed into buckets. A bucket's gradients are summed over
// the processes, by a thread of their own, while the backward pass still computes those of the next; each bucket
// belongs to one process, which alone keeps the optimizer's state of its parameters and hands their new values out.

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "mica/training/distributed/communicator.h"

namespace mica {

class GradientBuckets {
 public:
  static constexpr int64_t kBucketBytes = int64_t{4} << 20;

  /// `order`: the parameters' numbers as the forward pass comes to them, about; buckets are filled from the last on, as
  /// a backward pass goes. A small model's buckets are smaller, so that every process gets a share. Throws Error for a
  /// device that the group lacks.
  GradientBuckets(std::shared_ptr<Communicator> group, std::vector<Tensor> parameters, std::vector<size_t> order);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  /// The process that a parameter belongs to, by its number.
  int owner(size_t parameter) const { return buckets_[places_[parameter].bucket].owner; }

  /// A step's sums begin: nothing else may use the group until finish().
  void begin();
  /// The gradient of this leaf is whole; others than the parameters are passed over.
  void ready(const AutogradMeta& leaf);
  /// Takes what was not ready as it is and waits for all sums; every parameter that has a gradient in any process then
  /// has the sum, in memory of the buckets, as its gradient. Throws Error when the group is broken.
  void finish();

  /// Every parameter gets the value that its owner has. The gradients are gone then.
  void share_parameters();

  size_t count() const { return buckets_.size(); }
  /// Seconds since the start that sums took, and that finish() waited for them.
  double busy_seconds() const { return busy_seconds_; }
  double waited_seconds() const { return waited_seconds_; }

 private:
  struct Bucket {
    std::vector<size_t> parameters;
    Tensor values;  // theirs, end to end; then one number each, which is above 0 where there is a gradient
    int64_t numel = 0;
    int owner = 0;
    size_t missing = 0;  // parameters that are not ready
  };
  struct Place {
    size_t bucket = 0;
    int64_t offset = 0;
    int64_t flag = 0;
    bool done = false;
  };

  void put(size_t parameter);
  Tensor part(size_t parameter) const;
  void send();

  std::shared_ptr<Communicator> group_;
  std::vector<Tensor> parameters_;
  std::vector<size_t> order_;
  std::vector<Bucket> buckets_;
  std::vector<Place> places_;
  std::unordered_map<const AutogradMeta*, size_t> numbers_;
  double busy_seconds_ = 0, waited_seconds_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool running_ = false, stopping_ = false;
  size_t sent_ = 0;  // buckets of this step
  std::exception_ptr failure_;
  std::jthread sender_;  // last: it uses all of the above
};

}  // namespace mica
