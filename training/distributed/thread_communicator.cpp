// A group of threads. All come to one table, lay down where their values are, and the last to come does the work for
// everyone, so that values are added in the order of ranks.

#include <condition_variable>
#include <cstring>
#include <mutex>
#include <utility>

#include "mica/training/distributed/communicator.h"

namespace mica {
namespace {

enum class Call : uint8_t { all_reduce, all_gather, broadcast, barrier };

struct Request {
  Call call = Call::barrier;
  Tensor mine, all;
  int root = 0;
};

bool same(const Request& a, const Request& b) {
  if (a.call != b.call || a.root != b.root || a.mine.defined() != b.mine.defined()) return false;
  return !a.mine.defined() || (a.mine.dtype() == b.mine.dtype() && a.mine.numel() == b.mine.numel());
}

size_t bytes_of(const Tensor& tensor) {
  return static_cast<size_t>(tensor.numel()) * static_cast<size_t>(item_size(tensor.dtype()));
}

template <typename T>
void sum(const std::vector<Request>& requests) {
  T* total = requests[0].mine.data<T>();
  const int64_t count = requests[0].mine.numel();
  for (size_t rank = 1; rank < requests.size(); ++rank) {
    const T* values = requests[rank].mine.data<T>();
    for (int64_t i = 0; i < count; ++i) total[i] += values[i];
  }
  for (size_t rank = 1; rank < requests.size(); ++rank) {
    std::memcpy(requests[rank].mine.raw_data(), total, bytes_of(requests[0].mine));
  }
}

void serve(const std::vector<Request>& requests) {
  for (const Request& each : requests) {
    if (!same(each, requests[0])) {
      throw Error("processes of a group asked for different things", "communicator",
                  "all must call the same functions, with tensors alike, in the same order");
    }
  }
  const Request& first = requests[0];
  switch (first.call) {
    case Call::barrier:
      return;
    case Call::broadcast:
      for (const Request& each : requests) {
        const Tensor& source = requests[static_cast<size_t>(first.root)].mine;
        if (each.mine.raw_data() != source.raw_data())
          std::memcpy(each.mine.raw_data(), source.raw_data(), bytes_of(source));
      }
      return;
    case Call::all_gather:
      for (const Request& each : requests) {
        for (size_t rank = 0; rank < requests.size(); ++rank) {
          const size_t bytes = bytes_of(first.mine);
          std::memcpy(static_cast<char*>(each.all.raw_data()) + rank * bytes, requests[rank].mine.raw_data(), bytes);
        }
      }
      return;
    case Call::all_reduce:
      switch (first.mine.dtype()) {
        case DType::float32:
          return sum<float>(requests);
        case DType::float64:
          return sum<double>(requests);
        case DType::int64:
          return sum<int64_t>(requests);
        default:
          throw Error("sums of " + std::string(name(first.mine.dtype())), "communicator",
                      "add up float32, float64 or int64");
      }
  }
}

struct Table {
  explicit Table(int size) : requests(static_cast<size_t>(size)) {}
  std::mutex mutex;
  std::condition_variable served;
  std::vector<Request> requests;
  size_t arrived = 0;
  uint64_t round = 0;
  std::string failure;  // why it goes no further

  void fail(const std::string& reason) {
    const std::lock_guard lock(mutex);
    if (failure.empty()) failure = reason;
    served.notify_all();
  }
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Table> table, int rank) : table_(std::move(table)), rank_(rank) {}
  ~ThreadCommunicator() override { table_->fail("process " + std::to_string(rank_) + " of the group is gone"); }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(table_->requests.size()); }
  bool supports(Device device) const override { return device.is_cpu(); }
  void all_reduce(const Tensor& values) override { ask({Call::all_reduce, values, {}, 0}); }
  void all_gather(const Tensor& mine, const Tensor& all) override {
    if (all.numel() != mine.numel() * size() || all.dtype() != mine.dtype()) {
      throw Error("room for " + std::to_string(all.numel()) + " values", "communicator, all_gather",
                  "give it [size, ...]");
    }
    ask({Call::all_gather, mine, all, 0});
  }
  void broadcast(const Tensor& values, int root) override { ask({Call::broadcast, values, {}, root}); }
  void barrier() override { ask({Call::barrier, {}, {}, 0}); }
  void fail(const std::string& reason) noexcept override {
    try {
      table_->fail("process " + std::to_string(rank_) + " of the group failed: " + reason);
    } catch (...) {  // no memory for the text: the end of this object says it
    }
  }

 private:
  void ask(Request request) {
    Table& table = *table_;
    std::unique_lock lock(table.mutex);
    if (!table.failure.empty()) refuse();
    table.requests[static_cast<size_t>(rank_)] = std::move(request);
    const uint64_t round = table.round;
    if (++table.arrived == table.requests.size()) {
      try {
        serve(table.requests);
        table.arrived = 0;
        ++table.round;
      } catch (const Error& error) {
        table.failure = error.what();
      }
      for (Request& each : table.requests) each = {};
      table.served.notify_all();
    } else {
      table.served.wait(lock, [&] { return table.round != round || !table.failure.empty(); });
      if (table.round != round) return;
    }
    if (!table.failure.empty()) refuse();
  }
  [[noreturn]] void refuse() const {
    throw Error(table_->failure, "training together",
                "start all processes again; --resume_from_checkpoint true goes on from the last checkpoint");
  }
  std::shared_ptr<Table> table_;
  int rank_;
};

}  // namespace

std::vector<std::shared_ptr<Communicator>> thread_communicators(int size) {
  if (size < 1) throw Error("a group of " + std::to_string(size), "communicator", "give it at least one process");
  const auto table = std::make_shared<Table>(size);
  std::vector<std::shared_ptr<Communicator>> group;
  for (int rank = 0; rank < size; ++rank) group.push_back(std::make_shared<ThreadCommunicator>(table, rank));
  return group;
}

}  // namespace mica
