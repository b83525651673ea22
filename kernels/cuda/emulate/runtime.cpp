// The runtime of the emulated devices. Work is done when the call returns, but on side streams: event.cpp.

#include "mica/kernels/cuda/runtime.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/kernels/cuda/emulate/arena.h"
#include "mica/kernels/cuda/emulate/runtime.h"
#include "mica/kernels/cuda/emulate/stream.h"

namespace mica::cuda {

using emulate::EmulatedStream;
using emulate::Recorded;
using emulate::refuse_while_recording;

namespace {

EmulatedStream& of(Stream stream) {
  return emulate::stream_of(stream);
}

constexpr int kDevices = 2;

thread_local int device_now = 0;

int64_t& waits() {
  static thread_local int64_t count = 0;
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

}  // namespace

namespace emulate {

int current_device() {
  return device_now;
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
  device_now = device;
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
  return new EmulatedStream;  // NOLINT(cppcoreguidelines-owning-memory): an opaque handle, as the real one
}
void destroy_stream(Stream stream) noexcept {
  delete static_cast<EmulatedStream*>(stream);  // NOLINT(cppcoreguidelines-owning-memory)
}
void synchronize(Stream stream) {
  refuse_while_recording(stream, "synchronize");
  ++waits();
  emulate::finish(stream);
  emulate::check_arena();
}

void copy_from_host(void* to, const void* from, int64_t bytes, Stream stream) {
  refuse_while_recording(stream, "a copy from the host");
  ++waits();
  emulate::finish(stream);
  const emulate::OpenArena open;
  std::memcpy(to, from, static_cast<size_t>(bytes));
}
void copy_to_host(void* to, const void* from, int64_t bytes, Stream stream) {
  refuse_while_recording(stream, "a copy to the host");
  ++waits();
  emulate::finish(stream);
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
