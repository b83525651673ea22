#include "mica/kernels/cuda/emulate/machine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/kernels/cuda/emulate/arena.h"
#include "mica/kernels/cuda/emulate/fiber.h"
#include "mica/kernels/cuda/emulate/runtime.h"

namespace mica::cuda::emulate {
namespace {

struct Worker;
struct Block;
struct Meeting;

// A copy that has not landed yet.
struct PendingCopy {
  void* to;
  const void* from;
  int64_t read, filled;
  void land() const {
    std::memcpy(to, from, static_cast<size_t>(read));
    std::memset(static_cast<char*>(to) + read, 0, static_cast<size_t>(filled - read));
  }
};

struct Thread {
  Index index;
  unsigned rank = 0;
  Block* block = nullptr;
  Worker* worker = nullptr;  // once it has started
  bool done = false;
  Meeting* last = nullptr;  // where it met others
  std::vector<PendingCopy> open_copies;
  std::deque<std::vector<PendingCopy>> copy_groups;
};

// Threads on their way to meet.
struct Meeting {
  uint64_t key = 0;
  unsigned arrived = 0;
  Line line{};
  const char* what = "";
  std::vector<void*> members;
  std::vector<Thread*> waiting;
};

// A bulk copy that has not landed yet.
struct BulkCopy {
  std::byte* to;
  int64_t bytes;
  std::function<void()> land;
  const char* what;
  Line line;
};

struct Waiting {
  Thread* thread;
  const std::function<bool()>* condition;
  const char* what;
  Line line;
};

struct Block {
  Index index;
  unsigned rank = 0;  // in its cluster
  std::byte* shared = nullptr;
  std::vector<Thread> threads;
  std::vector<std::unique_ptr<Meeting>> meetings;
  std::unique_ptr<BlockState> state;  // of the wrappers
  unsigned done = 0;
};

// A fiber that runs thread after thread.
struct Worker {
  explicit Worker(std::function<void()> body) : fiber(std::move(body)) {}
  Fiber fiber;
};

uint64_t scramble(uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

std::string spelled(const Index& i) {
  return "(" + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " + std::to_string(i.z) + ")";
}

std::string spelled(const Line& line) {
  const std::string file = line.file;
  const size_t slash = file.rfind("kernels/");
  return (slash == std::string::npos ? file : file.substr(slash)) + ":" + std::to_string(line.number);
}

// Of literals, which mostly are the same one.
bool differs(const char* a, const char* b) {
  return a != b && std::strcmp(a, b) != 0;
}

// Shared memory of a cluster's blocks, each with poisoned bytes behind it.
class SharedMemory {
 public:
  static constexpr int64_t kMost = int64_t{228} << 10, kStride = kMost + 4096, kMostBlocks = 16;
  SharedMemory() : bytes_(map_region(kStride * kMostBlocks)) { poison(bytes_, kStride * kMostBlocks); }

  std::byte* open(unsigned rank, int64_t bytes) {
    std::byte* start = bytes_ + kStride * rank;
    poison(start, kStride);
    unpoison(start, bytes);
    std::memset(start, 0xff, static_cast<size_t>(bytes));
    return start;
  }

 private:
  std::byte* bytes_;
};

class Machine {
 public:
  void run(const char* kernel, const Geometry& geometry, const std::function<void()>& body);

  void seed(uint64_t value) { seed_ = value; }

  // ---- of the running thread ----
  Thread* current = nullptr;
  Geometry geometry;
  const char* kernel = "";

  void meet(const Gathering& gathering, void* mine, Collective collective, const char* what, Line line);
  void wait_until(const std::function<bool()>& condition, const char* what, Line line);
  bool lazy() const { return lazy_; }
  void start_copy(BulkCopy copy);
  void check_landed(const std::byte* address, int64_t bytes, const char* what, Line line) const;
  const std::vector<std::unique_ptr<Block>>& cluster() const { return cluster_; }

  [[noreturn]] void fault(const std::string& what, const Line& line) const {
    throw Error("kernel " + std::string(kernel) + ": " + what,
                spelled(line) + ", block " + spelled(current->block->index) + ", thread " + spelled(current->index),
                "mend the kernel");
  }

 private:
  void run_cluster(unsigned first);
  void work();
  void run_thread(Thread& thread);
  Thread* next();
  Fiber& fiber_of(Thread& thread);
  bool release_waiting();
  void land_any();
  void check_end();
  void leave();
  Meeting& meeting_of(const Gathering& gathering);
  Block& home(const Gathering& gathering) const {
    return gathering.across_cluster ? *cluster_.front() : *current->block;
  }
  uint64_t random() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return state_ >> 33;
  }
  template <typename T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random() % i]);
  }

  uint64_t seed_ = [] {
    const char* text = std::getenv("MICA_EMULATE_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
  }();
  uint64_t state_ = 0, launches_ = 0;
  const std::function<void()>* body_ = nullptr;
  bool lazy_ = false;   // copies land as late as they may
  bool mixed_ = false;  // and bulk copies at any time
  SharedMemory shared_;
  std::vector<std::unique_ptr<Worker>> workers_;  // all
  std::vector<Worker*> idle_;
  std::vector<std::unique_ptr<Block>> cluster_;
  std::vector<Thread*> ready_;
  std::vector<Waiting> waiting_;
  std::vector<BulkCopy> copies_;
  unsigned left_ = 0;  // threads of the cluster that are not done
  std::exception_ptr failure_;
};

// The state of emulation: one launch at a time.
std::mutex& launching() {
  static std::mutex mutex;
  return mutex;
}

Machine& machine() {
  static Machine instance;
  return instance;
}

// The one that runs a kernel: what the kernel itself asks for comes from here, without a check that it is there.
Machine* running = nullptr;

void Machine::run(const char* name, const Geometry& shape, const std::function<void()>& body) {
  kernel = name;
  geometry = shape;
  body_ = &body;
  state_ = scramble(seed_ + scramble(launches_++));
  failure_ = nullptr;
  const unsigned blocks = shape.grid.x * shape.grid.y * shape.grid.z;
  std::vector<unsigned> order;
  for (unsigned b = 0; b < blocks; b += shape.cluster) order.push_back(b);
  shuffle(order);
  for (const unsigned first : order) {
    run_cluster(first);
    if (failure_) {
      // Fibers in the middle of a kernel are of no more use.
      workers_.clear();
      idle_.clear();
      ready_.clear();
      waiting_.clear();
      copies_.clear();
      cluster_.clear();
      current = nullptr;
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
  }
}

void Machine::run_cluster(unsigned first) {
  const uint64_t drawn = random();
  lazy_ = (drawn & 1) != 0;
  mixed_ = (drawn & 2) != 0;
  while (cluster_.size() < geometry.cluster) cluster_.push_back(std::make_unique<Block>());
  cluster_.resize(geometry.cluster);
  const unsigned threads = geometry.block.x * geometry.block.y * geometry.block.z;
  ready_.clear();
  for (unsigned rank = 0; rank < geometry.cluster; ++rank) {
    Block& block = *cluster_[rank];
    const unsigned b = first + rank;
    block.index = {b % geometry.grid.x, b / geometry.grid.x % geometry.grid.y, b / geometry.grid.x / geometry.grid.y};
    block.rank = rank;
    block.shared = shared_.open(rank, geometry.shared_bytes);
    block.meetings.clear();
    block.state = nullptr;
    block.done = 0;
    block.threads.resize(threads);
    for (unsigned t = 0; t < threads; ++t) {
      Thread& thread = block.threads[t];
      thread.index = {t % geometry.block.x, t / geometry.block.x % geometry.block.y,
                      t / geometry.block.x / geometry.block.y};
      thread.rank = t;
      thread.block = &block;
      thread.worker = nullptr;
      thread.done = false;
      thread.last = nullptr;
      thread.open_copies.clear();
      thread.copy_groups.clear();
      ready_.push_back(&thread);
    }
  }
  left_ = threads * geometry.cluster;
  shuffle(ready_);
  while (left_ > 0 && !failure_) {
    Thread* thread = next();
    if (thread == nullptr) break;
    current = thread;
    fiber_of(*thread).resume();
  }
  if (!failure_) check_end();
}

Fiber& Machine::fiber_of(Thread& thread) {
  if (thread.worker == nullptr) {
    if (idle_.empty()) {
      workers_.push_back(std::make_unique<Worker>([this] { work(); }));
      idle_.push_back(workers_.back().get());
    }
    thread.worker = idle_.back();
    idle_.pop_back();
  }
  return thread.worker->fiber;
}

// What a block must not leave behind.
void Machine::check_end() {
  const auto fail = [this](Block& block, const std::string& what, const Line& line) {
    current = &block.threads.front();
    try {
      fault(what, line);
    } catch (const Error&) {
      failure_ = std::current_exception();
    }
  };
  if (!copies_.empty()) {
    fail(*cluster_.front(), "the block has ended while a " + std::string(copies_.front().what) + " is under way",
         copies_.front().line);
    return;
  }
  for (const auto& block : cluster_) {
    const char* left = block->state != nullptr ? block->state->unfinished() : nullptr;
    if (left != nullptr) return fail(*block, "the block has ended with " + std::string(left), {"kernels/?", 0});
  }
}

// The body of a worker: threads, one after the other. While they do not wait for each other, there is no switch.
void Machine::work() {
  for (;;) {
    Thread* thread = current;
    Worker* self = thread->worker;
    try {
      run_thread(*thread);
    } catch (const std::exception&) {
      failure_ = std::current_exception();
    }
    if (!failure_ && !ready_.empty() && ready_.back()->worker == nullptr) {
      current = ready_.back();
      ready_.pop_back();
      current->worker = self;
      continue;
    }
    idle_.push_back(self);
    self->fiber.leave();
  }
}

void Machine::run_thread(Thread& thread) {
  (*body_)();
  thread.done = true;
  --left_;
  ++thread.block->done;
  for (const auto& meeting : thread.block->meetings) {
    if (meeting->key >> 60 == 0 && meeting->arrived > 0) {
      fault("a thread has ended while others wait for all threads of the block in a " + std::string(meeting->what),
            meeting->line);
    }
  }
}

// Makes those ready whose condition holds.
bool Machine::release_waiting() {
  bool any = false;
  for (size_t i = waiting_.size(); i-- > 0;) {
    if (!(*waiting_[i].condition)()) continue;
    ready_.push_back(waiting_[i].thread);
    waiting_[i] = waiting_.back();
    waiting_.pop_back();
    any = true;
  }
  return any;
}

void Machine::land_any() {
  std::swap(copies_[random() % copies_.size()], copies_.back());
  const BulkCopy copy = std::move(copies_.back());
  copies_.pop_back();
  copy.land();
}

// Who runs next; null when nobody can.
Thread* Machine::next() {
  if (mixed_ && !copies_.empty() && random() % 64 == 0) land_any();
  // Who may go on does not wait for all others to stand: a slot of a ring that is given back too early is filled early.
  if (!waiting_.empty() && random() % 16 == 0) release_waiting();
  while (ready_.empty() && !release_waiting() && !copies_.empty()) land_any();
  if (!ready_.empty()) {
    // Those that have started may go before those that have not.
    std::swap(ready_.back(), ready_[random() % ready_.size()]);
    Thread* thread = ready_.back();
    ready_.pop_back();
    return thread;
  }
  // Name the first that waits.
  std::string what = "threads wait for each other for ever";
  Line line{"?", 0};
  for (const auto& block : cluster_) {
    for (const auto& meeting : block->meetings) {
      if (meeting->arrived == 0) continue;
      current = meeting->waiting.front();
      line = meeting->line;
      what += ": " + std::to_string(meeting->arrived) + " in a " + meeting->what;
    }
  }
  for (const Waiting& each : waiting_) {
    current = each.thread;
    line = each.line;
    what += std::string(": for ") + each.what;
    break;
  }
  try {
    fault(what, line);
  } catch (const Error&) {
    failure_ = std::current_exception();
  }
  return nullptr;
}

void Machine::leave() {
  Thread* const thread = current;
  Thread* const following = next();
  if (following == thread) return;
  Fiber& own = thread->worker->fiber;
  if (following == nullptr) {
    own.leave();
  } else {
    current = following;
    own.switch_to(fiber_of(*following));
  }
  current = thread;
}

// The one with this key, mostly where the thread has met others before.
Meeting& Machine::meeting_of(const Gathering& gathering) {
  if (current->last != nullptr && current->last->key == gathering.key) return *current->last;
  std::vector<std::unique_ptr<Meeting>>& meetings = home(gathering).meetings;
  const auto found = std::find_if(meetings.begin(), meetings.end(),
                                  [&](const auto& meeting) { return meeting->key == gathering.key; });
  if (found != meetings.end()) return *(current->last = found->get());
  meetings.push_back(std::make_unique<Meeting>());
  Meeting& made = *meetings.back();
  made.key = gathering.key;
  made.members.assign(gathering.positions, nullptr);  // those of absent threads stay so
  return *(current->last = &made);
}

void Machine::meet(const Gathering& gathering, void* mine, Collective collective, const char* what, Line line) {
  Thread* self = current;
  const bool whole_block = gathering.key >> 60 == 0;
  if (whole_block && self->block->done > 0) {
    fault("threads have ended before this " + std::string(what) + ", which waits for all of the block", line);
  }
  Meeting* const meeting = &meeting_of(gathering);
  if (meeting->arrived == 0) {
    meeting->line = line;
    meeting->what = what;
  } else if (meeting->line.number != line.number || differs(meeting->line.file, line.file) ||
             differs(meeting->what, what)) {
    fault("threads that should meet stand apart: in a " + std::string(meeting->what) + " at " + spelled(meeting->line) +
              " and in a " + what + " here",
          line);
  }
  if (gathering.positions > 0) meeting->members[gathering.position] = mine;
  if (++meeting->arrived < gathering.expected) {
    meeting->waiting.push_back(self);
    leave();
    return;
  }
  if (collective != nullptr) collective(meeting->members.data(), gathering.positions);
  meeting->arrived = 0;
  ready_.insert(ready_.end(), meeting->waiting.begin(), meeting->waiting.end());
  meeting->waiting.clear();
  // Who comes last is not to be first each time.
  if ((random() & 1) != 0) {
    ready_.push_back(self);
    leave();
  }
}

void Machine::wait_until(const std::function<bool()>& condition, const char* what, Line line) {
  while (!condition()) {
    waiting_.push_back({current, &condition, what, line});
    leave();
  }
}

void Machine::start_copy(BulkCopy copy) {
  if (!lazy_) return copy.land();
  std::memset(copy.to, 0xff, static_cast<size_t>(copy.bytes));
  copies_.push_back(std::move(copy));
}

void Machine::check_landed(const std::byte* address, int64_t bytes, const char* what, Line line) const {
  for (const BulkCopy& copy : copies_) {
    if (address + bytes <= copy.to || copy.to + copy.bytes <= address) continue;
    fault(std::string(what) + ": reads shared memory while the " + copy.what + " of " + spelled(copy.line) +
              " is under way there",
          line);
  }
}

}  // namespace

void launch(const char* kernel, void* stream, const Geometry& geometry, std::function<void()> body) {
  if (recording(stream)) {
    record(stream, [kernel, geometry, body = std::move(body)] { launch(kernel, nullptr, geometry, body); });
    return;
  }
  if (late(stream)) return do_on(stream, [=] { launch(kernel, nullptr, geometry, body); });
  const std::scoped_lock lock(launching());
  check_arena();
  const OpenArena open;
  running = &machine();
  running->run(kernel, geometry, body);
}

void set_seed(uint64_t seed) {
  const std::scoped_lock lock(launching());
  machine().seed(seed);
}

Index thread_index() {
  return running->current->index;
}
Index block_index() {
  return running->current->block->index;
}
Index block_size() {
  return running->geometry.block;
}
Index grid_size() {
  return running->geometry.grid;
}
unsigned thread_rank() {
  return running->current->rank;
}
unsigned cluster_rank() {
  return running->current->block->rank;
}
std::byte* shared_memory() {
  return running->current->block->shared;
}
int64_t shared_bytes() {
  return running->geometry.shared_bytes;
}
std::byte* shared_memory_of(unsigned rank) {
  if (rank >= running->cluster().size()) fault("no such block in the cluster", Line::here());
  return running->cluster()[rank]->shared;
}

void meet(const Gathering& gathering, void* mine, Collective collective, const char* what, Line line) {
  running->meet(gathering, mine, collective, what, line);
}

// Keys: barriers of the block have 0 in the upper four bits when they take all threads, 1 when they take some; 2 and 3
// are the cluster's and the warpgroups', 4 and up the warps'.
void barrier(unsigned id, unsigned threads, Line line) {
  const auto all = static_cast<unsigned>(running->current->block->threads.size());
  const bool some = threads < all;
  meet({(some ? uint64_t{1} << 60 : 0) | id, threads, 0, 0}, nullptr, nullptr, "barrier", line);
}

void cluster_barrier(Line line) {
  const auto& blocks = running->cluster();
  const auto threads = static_cast<unsigned>(blocks.size() * blocks.front()->threads.size());
  meet({uint64_t{2} << 60, threads, 0, 0, true}, nullptr, nullptr, "cluster barrier", line);
}

void meet_warp(uint32_t mask, void* mine, Collective collective, const char* what, Line line) {
  const unsigned rank = thread_rank(), lane = rank % 32;
  if ((mask >> lane & 1) == 0) fault(std::string(what).append(": the lane is not in its own mask").c_str(), line);
  const auto expected = static_cast<unsigned>(__builtin_popcount(mask));
  meet({uint64_t{4} << 60 | uint64_t{rank / 32} << 32 | mask, expected, lane, 32}, mine, collective, what, line);
}

void meet_warpgroup(void* mine, Collective collective, const char* what, Line line) {
  const unsigned rank = thread_rank();
  meet({uint64_t{3} << 60 | rank / 128, 128, rank % 128, 128}, mine, collective, what, line);
}

void wait_until(const std::function<bool()>& condition, const char* what, Line line) {
  running->wait_until(condition, what, line);
}

void check_shared(const void* address, int64_t bytes, int64_t alignment, const char* what, Line line) {
  const auto* at = static_cast<const std::byte*>(address);
  if (reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(alignment) != 0) {
    fault(std::string(what).append(": an address in shared memory is not aligned").c_str(), line);
  }
  for (const auto& block : running->cluster()) {
    if (at >= block->shared && at + bytes <= block->shared + shared_bytes()) return;
  }
  fault(std::string(what).append(": an address lies outside shared memory").c_str(), line);
}

void check_global(const void* address, int64_t bytes, int64_t alignment, const char* what, Line line) {
  if (reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(alignment) != 0) {
    fault(std::string(what).append(": an address in global memory is not aligned").c_str(), line);
  }
  if (!inside_allocation(address, bytes)) {
    fault(std::string(what).append(": an address lies outside every allocation").c_str(), line);
  }
}

void copy_later(void* to, const void* from, int64_t bytes_read, int64_t filled) {
  const PendingCopy copy{to, from, bytes_read, filled};
  if (!running->lazy()) copy.land();
  running->current->open_copies.push_back(copy);
}

void commit_copies() {
  Thread& thread = *running->current;
  thread.copy_groups.push_back(std::exchange(thread.open_copies, {}));
}

void wait_copies(int64_t groups_left) {
  Thread& thread = *running->current;
  while (static_cast<int64_t>(thread.copy_groups.size()) > groups_left) {
    if (running->lazy()) {
      for (const PendingCopy& copy : thread.copy_groups.front()) copy.land();
    }
    thread.copy_groups.pop_front();
  }
}

bool lazy() {
  return running->lazy();
}

void start_copy(void* to, int64_t bytes, std::function<void()> land, const char* what, Line line) {
  running->start_copy({static_cast<std::byte*>(to), bytes, std::move(land), what, line});
}

void check_landed(const void* address, int64_t bytes, const char* what, Line line) {
  running->check_landed(static_cast<const std::byte*>(address), bytes, what, line);
}

std::unique_ptr<BlockState>& block_state() {
  return running->current->block->state;
}

void fault(const char* what, Line line) {
  running->fault(what, line);
}

}  // namespace mica::cuda::emulate
