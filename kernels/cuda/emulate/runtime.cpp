// The runtime of the emulated devices. Work is done when the call returns; on a side stream when somebody waits for an
// event behind it, so that a wait that is missing shows as values that are not there.

#include "mica/kernels/cuda/runtime.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/kernels/cuda/emulate/arena.h"
#include "mica/kernels/cuda/emulate/runtime.h"
#include "mica/kernels/cuda/event.h"

namespace mica::cuda {
namespace {

constexpr int kDevices = 2;

struct Recorded {
  std::vector<std::function<void()>> work;
};

// Work that waits for somebody who needs it.
class LateWork {
 public:
  void put(std::function<void()> work) {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(std::move(work));
    ++put_;
  }
  uint64_t end() {
    const std::scoped_lock lock(mutex_);
    return put_;
  }
  bool done(uint64_t position) {
    const std::scoped_lock lock(mutex_);
    return done_ >= position;
  }
  void run_until(uint64_t position) {
    const std::scoped_lock one_at_a_time(running_);
    while (!done(position)) {
      std::unique_lock lock(mutex_);
      const std::function<void()> work = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      const Ending ending{*this};
      work();
    }
  }

 private:
  struct Ending {  // done, or failed
    LateWork& of;
    ~Ending() {
      const std::scoped_lock lock(of.mutex_);
      ++of.done_;
    }
  };
  std::recursive_mutex running_;  // work may wait for another stream, and that for this one's work before it
  std::mutex mutex_;
  std::deque<std::function<void()>> waiting_;
  uint64_t put_ = 0, done_ = 0;
};

struct EmulatedStream {
  std::unique_ptr<Recorded> recorded;
  bool spoiled = false;  // what is recorded, by a call that may not be
  bool side = false;
  int device = 0;
  LateWork work;
};

struct EmulatedEvent {
  EmulatedStream* stream = nullptr;
  uint64_t position = 0;
  int asked = 0;
};

constexpr int kPatience = 1000;  // who asks an event that often has given the device time to come there

thread_local int current_device = 0;

EmulatedStream& of(Stream stream) {
  return *static_cast<EmulatedStream*>(stream);
}

EmulatedEvent& event_of(Event event) {
  return *static_cast<EmulatedEvent*>(event);
}

std::mutex& events() {
  static std::mutex mutex;
  return mutex;
}
EmulatedEvent copy_of(Event event) {
  const std::scoped_lock lock(events());
  return event_of(event);
}

std::atomic<bool>& side_is_late() {
  static std::atomic<bool> late{true};
  return late;
}

std::atomic<int64_t>& waits() {
  static std::atomic<int64_t> count{0};
  return count;
}

std::atomic<int64_t>& counted() {
  static std::atomic<int64_t> count{0};
  return count;
}

DeviceProperties properties_of(int major, int minor) {
  // Shared memory of the GPUs of data centres.
  const int64_t shared_bytes = int64_t{major == 8 ? 163 : 227} << 10;
  return {"emulated", major, minor, 4, emulate::arena_total(), shared_bytes, 1 << 20};
}

DeviceProperties& played() {
  static DeviceProperties properties = [] {
    const char* text = std::getenv("MICA_EMULATE_CAPABILITY");
    if (text == nullptr) return properties_of(9, 0);
    int major = 0, minor = 0, end = 0;
    if (std::sscanf(text, "%d.%d%n", &major, &minor, &end) != 2 || text[end] != 0 || major < 8) {
      throw Error("MICA_EMULATE_CAPABILITY is no compute capability from 8.0 on: " + printable(text), "emulated device",
                  "use 8.0 or 9.0");
    }
    return properties_of(major, minor);
  }();
  return properties;
}

std::atomic<int64_t>& limit() {
  static std::atomic<int64_t> bytes{std::numeric_limits<int64_t>::max()};
  return bytes;
}

void refuse_while_recording(Stream stream, const char* what) {
  if (emulate::recording(stream)) {
    of(stream).spoiled = true;
    throw Error(std::string(what) + " while a graph is recorded", "emulated device", "do it before or after");
  }
}

}  // namespace

namespace emulate {

bool recording(void* stream) {
  return stream != nullptr && of(stream).recorded != nullptr;
}

void record(void* stream, std::function<void()> work) {
  of(stream).recorded->work.push_back(std::move(work));
}

int device_of(void* stream) {
  return of(stream).device;
}

bool late(void* stream) {
  return stream != nullptr && of(stream).side == side_is_late();
}

void do_on(void* stream, std::function<void()> work) {
  if (stream == nullptr) return work();
  LateWork& all = of(stream).work;
  all.put(std::move(work));
  if (!late(stream)) all.run_until(all.end());
}

void set_side_late(bool late) {
  side_is_late() = late;
}

int64_t host_waits() {
  return waits();
}

void set_capability(int major, int minor) {
  played() = properties_of(major, minor);
}

void limit_memory(int64_t bytes) {
  limit() = bytes;
}

}  // namespace emulate

int64_t launch_count() {
  return counted();
}

namespace detail {
void count_launch(const char* name, const LaunchShape& shape) {
  ++counted();
  const bool fits = shape.block.count() >= 1 && shape.block.count() <= 1024 && shape.block.z <= 64 &&
                    shape.grid.x <= 0x7fffffffU && shape.grid.y <= 65535 && shape.grid.z <= 65535 &&
                    shape.shared_bytes <= properties(0).most_shared_bytes && shape.cluster >= 1 && shape.cluster <= 8 &&
                    shape.grid.x % shape.cluster == 0;
  if (!fits) {
    throw Error("kernel " + std::string(name) + " cannot start: " + std::to_string(shape.grid.x) + " x " +
                    std::to_string(shape.grid.y) + " x " + std::to_string(shape.grid.z) + " blocks of " +
                    std::to_string(shape.block.count()) + " threads, " + std::to_string(shape.shared_bytes) +
                    " bytes of shared memory",
                "emulated device", "mend the launch");
  }
}
}  // namespace detail

int device_count() {
  return kDevices;
}

std::string why_no_device() {
  return {};
}

const DeviceProperties& properties(int /*device*/) {
  return played();
}

void set_device(int device) {
  if (device < 0 || device >= kDevices) throw Error("no such device", "emulated device", "use cuda:0 or cuda:1");
  current_device = device;
}

void* device_allocate(int64_t bytes) {
  return emulate::arena_used() + bytes > limit() ? nullptr : emulate::arena_allocate(bytes);
}
void device_free(void* data) noexcept {
  emulate::arena_free(data);
}
void* shared_allocate(int64_t bytes) {
  return ::operator new (static_cast<size_t>(bytes), std::align_val_t{64});
}
void shared_free(void* data) noexcept {
  ::operator delete (data, std::align_val_t{64});
}
int64_t device_free_bytes() {
  return emulate::arena_total() - emulate::arena_used();
}

Stream make_stream() {
  auto* const stream = new EmulatedStream;  // NOLINT(cppcoreguidelines-owning-memory): a handle, as the real one
  stream->device = current_device;
  return stream;
}
Stream make_side_stream() {
  auto* const stream = static_cast<EmulatedStream*>(make_stream());
  stream->side = true;
  return stream;
}
void destroy_stream(Stream stream) noexcept {
  delete static_cast<EmulatedStream*>(stream);  // NOLINT(cppcoreguidelines-owning-memory)
}
void synchronize(Stream stream) {
  refuse_while_recording(stream, "synchronize");
  ++waits();
  if (stream != nullptr) of(stream).work.run_until(of(stream).work.end());
  emulate::check_arena();
}

Event make_event() {
  return new EmulatedEvent;  // NOLINT(cppcoreguidelines-owning-memory): an opaque handle, as the real one
}
void destroy_event(Event event) noexcept {
  delete static_cast<EmulatedEvent*>(event);  // NOLINT(cppcoreguidelines-owning-memory)
}
void record_event(Event event, Stream stream) {
  refuse_while_recording(stream, "an event");
  const std::scoped_lock lock(events());
  event_of(event) = {&of(stream), of(stream).work.end(), 0};
}
void wait_for_event(Event event, Stream stream) {
  refuse_while_recording(stream, "waiting for another stream");
  const EmulatedEvent at = copy_of(event);
  if (at.stream == nullptr) return;
  emulate::do_on(stream, [at] { at.stream->work.run_until(at.position); });
}
void wait_for_event(Event event) {
  const EmulatedEvent at = copy_of(event);
  if (at.stream != nullptr) at.stream->work.run_until(at.position);
}
bool event_is_done(Event event) {
  {
    const std::scoped_lock lock(events());
    ++event_of(event).asked;
  }
  const EmulatedEvent at = copy_of(event);
  if (at.stream != nullptr && at.asked >= kPatience) at.stream->work.run_until(at.position);
  return at.stream == nullptr || at.stream->work.done(at.position);
}

void copy_from_staging(void* to, const void* from, int64_t bytes, Stream stream) {
  emulate::do_on(stream, [=] {
    if (!emulate::inside_allocation(to, bytes)) {
      throw Error("a copy to memory that is nobody's", "emulated device", "wait for it before the block is freed");
    }
    const emulate::OpenArena open;
    std::memcpy(to, from, static_cast<size_t>(bytes));
  });
}

void copy_from_host(void* to, const void* from, int64_t bytes, Stream stream) {
  refuse_while_recording(stream, "a copy from the host");
  ++waits();
  if (stream != nullptr) of(stream).work.run_until(of(stream).work.end());
  const emulate::OpenArena open;
  std::memcpy(to, from, static_cast<size_t>(bytes));
}
void copy_to_host(void* to, const void* from, int64_t bytes, Stream stream) {
  refuse_while_recording(stream, "a copy to the host");
  ++waits();
  if (stream != nullptr) of(stream).work.run_until(of(stream).work.end());
  const emulate::OpenArena open;
  std::memcpy(to, from, static_cast<size_t>(bytes));
}
void copy_on_device(void* to, const void* from, int64_t bytes, Stream stream) {
  if (emulate::recording(stream)) {
    emulate::record(stream, [=] { copy_on_device(to, from, bytes, nullptr); });
    return;
  }
  emulate::do_on(stream, [=] {
    const emulate::OpenArena open;
    std::memmove(to, from, static_cast<size_t>(bytes));
  });
}

void begin_recording(Stream stream) {
  refuse_while_recording(stream, "a second recording");
  of(stream).recorded = std::make_unique<Recorded>();
  of(stream).spoiled = false;
}
Graph end_recording(Stream stream) {
  if (!emulate::recording(stream)) throw Error("no recording to end", "emulated device", "begin one");
  std::unique_ptr<Recorded> recorded = std::move(of(stream).recorded);
  if (of(stream).spoiled) {
    throw Error("what was recorded did something that cannot be", "emulated device",
                "see the error before this one, which was not passed on");
  }
  return recorded.release();
}
void abandon_recording(Stream stream) noexcept {
  of(stream).recorded.reset();
}
void replay(Graph graph, Stream stream) {
  refuse_while_recording(stream, "a replay");
  ++counted();
  emulate::do_on(stream, [graph] {
    for (const auto& work : static_cast<Recorded*>(graph)->work) work();
  });
}
void destroy_graph(Graph graph) noexcept {
  delete static_cast<Recorded*>(graph);  // NOLINT(cppcoreguidelines-owning-memory)
}

}  // namespace mica::cuda
