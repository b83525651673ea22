// Emulated streams, and the events that order them. What is on a side stream is done when somebody waits for an event
// behind it, so that a wait that is missing shows as values that are not there.

#include "mica/kernels/cuda/event.h"

#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "mica/base/error.h"
#include "mica/kernels/cuda/emulate/arena.h"
#include "mica/kernels/cuda/emulate/runtime.h"
#include "mica/kernels/cuda/emulate/stream.h"
#include "mica/kernels/cuda/runtime.h"

namespace mica::cuda {

using emulate::EmulatedStream;
using emulate::refuse_while_recording;
using emulate::stream_of;

namespace {

struct EmulatedEvent {
  EmulatedStream* stream = nullptr;
  uint64_t position = 0;
  int asked = 0;
};

constexpr int kPatience = 1000;  // who asks an event that often has given the device time to come there

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

}  // namespace

namespace emulate {

EmulatedStream& stream_of(void* stream) {
  return *static_cast<EmulatedStream*>(stream);
}

bool recording(void* stream) {
  return stream != nullptr && stream_of(stream).recorded != nullptr;
}

void record(void* stream, std::function<void()> work) {
  stream_of(stream).recorded->work.push_back(std::move(work));
}

void refuse_while_recording(Stream stream, const char* what) {
  if (recording(stream)) {
    stream_of(stream).spoiled = true;
    throw Error(std::string(what) + " while a graph is recorded", "emulated device", "do it before or after");
  }
}

bool late(void* stream) {
  return stream != nullptr && stream_of(stream).side == side_is_late();
}

void do_on(void* stream, std::function<void()> work) {
  if (stream == nullptr) return work();
  LateWork& all = stream_of(stream).work;
  all.put(std::move(work));
  if (!late(stream)) all.run_until(all.end());
}

void set_side_late(bool late) {
  side_is_late() = late;
}

void finish(void* stream) {
  if (stream != nullptr) stream_of(stream).work.run_until(stream_of(stream).work.end());
}

}  // namespace emulate

Stream make_side_stream() {
  auto* const stream = static_cast<EmulatedStream*>(make_stream());
  stream->side = true;
  return stream;
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
  event_of(event) = {&stream_of(stream), stream_of(stream).work.end(), 0};
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

}  // namespace mica::cuda
