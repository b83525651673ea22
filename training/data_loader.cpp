// Workers claim batches by number and put them into a ring of slots, from which they are taken in order. Nobody claims
// a batch whose slot still waits to be emptied, so at most a ring of batches is in memory.

#include "mica/training/data_loader.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mica/base/error.h"

namespace mica {

struct BatchStream::Impl {
  Dataset dataset;
  std::shared_ptr<const DataCollator> collator;
  DataLoaderOptions options;
  BatchContext context;
  std::vector<int64_t> order;
  int64_t count = 0;  // of batches
  int64_t given = 0;  // the next to give

  struct Slot {
    bool ready = false;
    ModelInputs inputs;
    std::exception_ptr failure;
  };
  std::mutex mutex;
  std::condition_variable claimable, arrived;
  std::vector<Slot> slots;  // batch i in slot i % size
  int64_t claimed = 0;      // the next to claim
  bool stopping = false;
  std::vector<std::jthread> workers;  // last: they use all of the above

  ~Impl() { stop(); }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    claimable.notify_all();
    workers.clear();
  }

  ModelInputs make(int64_t batch) const {
    const int64_t begin = batch * options.batch_size;
    const int64_t end = std::min(begin + options.batch_size, static_cast<int64_t>(order.size()));
    std::vector<Example> rows;
    rows.reserve(static_cast<size_t>(end - begin));
    for (int64_t i = begin; i < end; ++i) rows.push_back(dataset[order[static_cast<size_t>(i)]]);
    return (*collator)(rows, context);
  }

  void start(int64_t first) {
    given = claimed = first;
    if (options.num_workers == 0) return;
    slots.resize(static_cast<size_t>(options.num_workers) * static_cast<size_t>(options.prefetch_factor));
    for (int i = 0; i < options.num_workers; ++i) workers.emplace_back([this] { work(); });
  }

  void work() {
    std::unique_lock lock(mutex);
    const auto size = static_cast<int64_t>(slots.size());
    while (true) {
      claimable.wait(lock, [&] { return stopping || claimed >= count || claimed < given + size; });
      if (stopping || claimed >= count) return;
      const int64_t batch = claimed++;
      lock.unlock();
      Slot made;
      made.ready = true;
      try {
        made.inputs = make(batch);
      } catch (...) {
        made.failure = std::current_exception();
      }
      lock.lock();
      slots[static_cast<size_t>(batch % size)] = std::move(made);
      arrived.notify_one();
    }
  }

  std::optional<ModelInputs> next() {
    if (given >= count) return std::nullopt;
    if (options.num_workers == 0) {
      const int64_t batch = std::exchange(given, count);  // ended, should make() throw
      ModelInputs inputs = make(batch);
      given = batch + 1;
      return inputs;
    }
    Slot taken;
    {
      std::unique_lock lock(mutex);
      Slot& slot = slots[static_cast<size_t>(given) % slots.size()];
      arrived.wait(lock, [&] { return slot.ready; });
      taken = std::exchange(slot, {});
      given = taken.failure ? count : given + 1;
    }
    claimable.notify_one();
    if (taken.failure) {
      stop();
      std::rethrow_exception(taken.failure);
    }
    return std::move(taken.inputs);
  }
};

BatchStream::BatchStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BatchStream::BatchStream(BatchStream&&) noexcept = default;
BatchStream& BatchStream::operator=(BatchStream&&) noexcept = default;
BatchStream::~BatchStream() = default;

std::optional<ModelInputs> BatchStream::next() {
  return impl_->next();
}

DataLoader::DataLoader(Dataset dataset, std::shared_ptr<const DataCollator> collator, DataLoaderOptions options,
                       std::shared_ptr<const Sampler> sampler)
    : dataset_(std::move(dataset)), collator_(std::move(collator)), options_(options), sampler_(std::move(sampler)) {
  const auto check = [](int64_t value, int64_t least, int64_t most, const char* name) {
    if (value < least || value > most) {
      throw Error(std::string(name) + " is " + std::to_string(value), "data loader",
                  "give a number from " + std::to_string(least) + " to " + std::to_string(most));
    }
  };
  check(options_.batch_size, 1, int64_t{1} << 40, "batch_size");
  check(options_.num_workers, 0, 1024, "num_workers");
  check(options_.prefetch_factor, 1, 1024, "prefetch_factor");
  if (!collator_) throw Error("no collator", "data loader", "give one, such as DefaultDataCollator");
  if (dataset_.empty()) throw Error("the data set is empty", "data loader", "give one with rows");
  if (!sampler_) sampler_ = std::make_shared<const SequentialSampler>(dataset_.size());
  if (size() == 0) {
    throw Error("fewer rows than a batch", "data loader", "choose a smaller batch_size, or drop_last = false");
  }
}

int64_t DataLoader::size() const {
  const int64_t rows = sampler_->size();
  return rows / options_.batch_size + (rows % options_.batch_size != 0 && !options_.drop_last ? 1 : 0);
}

BatchStream DataLoader::epoch(uint64_t epoch, int64_t first_batch) const {
  if (first_batch < 0 || first_batch > size()) {
    throw Error("there is no batch " + std::to_string(first_batch) + " to begin with", "data loader",
                "an epoch has " + std::to_string(size()));
  }
  auto impl = std::make_unique<BatchStream::Impl>();
  impl->dataset = dataset_;
  impl->collator = collator_;
  impl->options = options_;
  impl->context = {options_.seed, epoch};
  impl->order = sampler_->order(epoch);
  impl->count = size();
  impl->start(first_batch);
  return BatchStream(std::move(impl));
}

}  // namespace mica
