// What stands in for NCCL: ranks are threads of this process, one emulated device each. All come to one table; the last
// to come does the work for everyone, in the order of ranks. What NCCL takes for granted is checked: that all ask for
// the same, with operands inside their allocations, each on a device of its own.

#include "mica/kernels/cuda/nccl.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "mica/base/error.h"
#include "mica/kernels/cuda/device/number.h"
#include "mica/kernels/cuda/emulate/arena.h"
#include "mica/kernels/cuda/emulate/runtime.h"

namespace mica::cuda {
namespace {

enum class What : uint8_t { all_reduce, all_gather, broadcast };

struct Request {
  What what = What::all_reduce;
  const void* from = nullptr;
  void* to = nullptr;
  size_t count = 0;
  int type = 0, root = 0;
};

size_t size_of_type(int type) {
  switch (type) {
    case kNcclUint8:
      return 1;
    case kNcclFloat16:
    case kNcclBfloat16:
      return 2;
    case kNcclFloat32:
      return 4;
    default:
      return 8;
  }
}

template <typename T>
void sum(const std::vector<Request>& all) {
  std::vector<T> total(all[0].count);
  std::copy_n(static_cast<const T*>(all[0].from), total.size(), total.begin());
  for (size_t rank = 1; rank < all.size(); ++rank) {
    const T* values = static_cast<const T*>(all[rank].from);
    for (size_t i = 0; i < total.size(); ++i) {
      total[i] = narrow<T>(widen(total[i]) + widen(values[i]));
    }
  }
  for (const Request& each : all) std::copy(total.begin(), total.end(), static_cast<T*>(each.to));
}

// True where the operands are what they must be.
bool valid(const std::vector<Request>& all) {
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Request &a = all[rank], &b = all[0];
    if (a.what != b.what || a.count != b.count || a.type != b.type || a.root != b.root) return false;
    const auto bytes = static_cast<int64_t>(a.count * size_of_type(a.type));
    const int64_t written = a.what == What::all_gather ? bytes * static_cast<int64_t>(all.size()) : bytes;
    if (bytes > 0 && (!emulate::inside_allocation(a.from, bytes) || !emulate::inside_allocation(a.to, written))) {
      return false;
    }
  }
  return true;
}

void serve(const std::vector<Request>& all) {
  const emulate::OpenArena open;
  const Request& first = all[0];
  const size_t bytes = first.count * size_of_type(first.type);
  if (first.what == What::broadcast) {
    const void* source = all[static_cast<size_t>(first.root)].from;
    for (const Request& each : all) std::memmove(each.to, source, bytes);
    return;
  }
  if (first.what == What::all_gather) {
    for (const Request& each : all) {
      for (size_t rank = 0; rank < all.size(); ++rank) {
        std::memmove(static_cast<char*>(each.to) + rank * bytes, all[rank].from, bytes);
      }
    }
    return;
  }
  switch (first.type) {
    case kNcclFloat32:
      return sum<float>(all);
    case kNcclFloat64:
      return sum<double>(all);
    case kNcclFloat16:
      return sum<float16>(all);
    case kNcclBfloat16:
      return sum<bfloat16>(all);
    default:
      return sum<int64_t>(all);
  }
}

struct Table {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Request> requests;
  std::set<int> devices;
  size_t arrived = 0, joined = 0;
  uint64_t round = 0;
  int broken = kNcclSuccess;
};

struct Rank {
  std::shared_ptr<Table> table;
  size_t number = 0;
};

struct Tables {
  std::mutex mutex;
  int made = 0;
  std::map<std::string, std::shared_ptr<Table>> by_id;
  std::vector<std::unique_ptr<Rank>> given_up;  // a call of theirs may be on its way still
};

// Never destroyed, as the tensors that are freed when the program ends.
Tables& tables() {
  static Tables& instance = *new Tables;  // NOLINT(cppcoreguidelines-owning-memory)
  return instance;
}

Rank& of(NcclCommunicator communicator) {
  return *static_cast<Rank*>(communicator);
}

int get_unique_id(NcclId* id) {
  Tables& all = tables();
  const std::scoped_lock lock(all.mutex);
  std::snprintf(id->bytes, sizeof id->bytes, "emulated group %d", ++all.made);
  all.by_id[id->bytes] = std::make_shared<Table>();
  return kNcclSuccess;
}

int init_rank(NcclCommunicator* made, int size, NcclId id, int rank) {
  std::shared_ptr<Table> table;
  {
    Tables& all = tables();
    const std::scoped_lock lock(all.mutex);
    const auto found = all.by_id.find(std::string(id.bytes, strnlen(id.bytes, sizeof id.bytes)));
    if (found == all.by_id.end() || rank < 0 || rank >= size) return kNcclInvalidArgument;
    table = found->second;
  }
  std::unique_lock lock(table->mutex);
  table->requests.resize(static_cast<size_t>(size));
  table->devices.insert(emulate::current_device());
  ++table->joined;
  table->changed.notify_all();
  table->changed.wait(lock, [&] { return table->joined == table->requests.size(); });
  if (table->devices.size() < table->requests.size()) return kNcclInvalidUsage;
  *made = std::make_unique<Rank>(Rank{table, static_cast<size_t>(rank)}).release();
  return kNcclSuccess;
}

int destroy(NcclCommunicator communicator) {
  const std::unique_ptr<Rank> ends(&of(communicator));
  return kNcclSuccess;
}

int abort_group(NcclCommunicator communicator) {
  {
    Table& table = *of(communicator).table;
    const std::scoped_lock lock(table.mutex);
    table.broken = kNcclRemoteError;
    table.changed.notify_all();
  }
  Tables& all = tables();
  const std::scoped_lock lock(all.mutex);
  all.given_up.emplace_back(&of(communicator));
  return kNcclSuccess;
}

int async_error(NcclCommunicator communicator, int* result) {
  Table& table = *of(communicator).table;
  const std::scoped_lock lock(table.mutex);
  *result = table.broken;
  return kNcclSuccess;
}

const char* error_string(int result) {
  switch (result) {
    case kNcclSuccess:
      return "no error";
    case kNcclInvalidArgument:
      return "invalid argument";
    case kNcclInvalidUsage:
      return "invalid usage: unlike calls, operands outside their memory, or two ranks on one device";
    default:
      return "remote process exited or there was a network error";
  }
}

void meet(Table& table, size_t rank, const Request& request) {
  std::unique_lock lock(table.mutex);
  if (table.broken == kNcclSuccess) {
    table.requests[rank] = request;
    const uint64_t round = table.round;
    if (++table.arrived == table.requests.size()) {
      if (valid(table.requests)) {
        serve(table.requests);
      } else {
        table.broken = kNcclInvalidUsage;
      }
      table.arrived = 0;
      ++table.round;
      table.changed.notify_all();
    } else {
      table.changed.wait(lock, [&] { return table.round != round || table.broken != kNcclSuccess; });
    }
  }
  if (table.broken != kNcclSuccess) {
    throw Error(std::string("work of a group: ") + error_string(table.broken), "emulated NCCL",
                "see what the other ranks ask for");
  }
}

// The work is the stream's: nobody has come together when the call returns, and what goes wrong then is thrown at
// whoever waits.
int ask(NcclCommunicator communicator, const Request& request, Stream stream) {
  if (emulate::recording(stream)) return kNcclInvalidUsage;
  emulate::do_on(stream, [table = of(communicator).table, rank = of(communicator).number, request] {
    meet(*table, rank, request);
  });
  return kNcclSuccess;
}

int all_reduce(const void* from, void* to, size_t count, int type, int /*op*/, NcclCommunicator on, Stream stream) {
  return ask(on, {What::all_reduce, from, to, count, type, 0}, stream);
}
int all_gather(const void* from, void* to, size_t count, int type, NcclCommunicator on, Stream stream) {
  return ask(on, {What::all_gather, from, to, count, type, 0}, stream);
}
int broadcast(const void* from, void* to, size_t count, int type, int root, NcclCommunicator on, Stream stream) {
  return ask(on, {What::broadcast, from, to, count, type, root}, stream);
}

}  // namespace

const Nccl& nccl() {
  static constexpr Nccl kEmulated{get_unique_id, init_rank,  destroy,    abort_group, async_error,
                                  error_string,  all_reduce, all_gather, broadcast};
  return kEmulated;
}

}  // namespace mica::cuda
