#pragma once
// Streams beside the device's own, and events that order them: over the CUDA runtime (runtime.cu) or over emulation
// (emulate/runtime.cpp), which does what is on such a stream as late as it may.

#include <cstdint>

#include "mica/kernels/cuda/launch.h"

namespace mica::cuda {

/// A stream for what goes on beside the device's own. destroy_stream() and synchronize() take it.
Stream make_side_stream();

/// A point in a stream's work.
using Event = void*;
Event make_event();
void destroy_event(Event event) noexcept;
/// The event is where the stream's work ends now; where it was before is forgotten.
void record_event(Event event, Stream stream);
/// What is put on the stream later waits for the event.
void wait_for_event(Event event, Stream stream);
/// The host waits.
void wait_for_event(Event event);
bool event_is_done(Event event);

/// From memory of shared_allocate(): returns at once, and the memory stays as it is until an event after the copy.
void copy_from_staging(void* to, const void* from, int64_t bytes, Stream stream);

}  // namespace mica::cuda
