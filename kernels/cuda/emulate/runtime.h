#pragma once
// The emulated runtime beyond runtime.h: streams that record graphs, as the machine knows them, and which GPU is
// played.

#include <cstdint>
#include <functional>

namespace mica::cuda::emulate {

bool recording(void* stream);
void record(void* stream, std::function<void()> work);

/// Work for a stream. What is put on a side stream (event.h) is late: it is done when somebody waits for an event
/// behind it, so that a wait that is missing shows as values that are not there. Everything else is done at once.
void do_on(void* stream, std::function<void()> work);
bool late(void* stream);
/// The other way about while it is false, for what a side stream has to wait for: it is ahead, and a device's own
/// stream late. Memory must not be freed then before work that uses it is done.
void set_side_late(bool late);
/// Of this thread's calls.
int current_device();
/// Calls of this thread for which the host waited so far: copies from and to its memory, synchronize().
int64_t host_waits();

/// The devices act as GPUs of this compute capability from here on: which kernels are chosen, what shared memory there
/// is, which instructions there are. At first MICA_EMULATE_CAPABILITY ("8.0"), or 9.0.
void set_capability(int major, int minor);

/// From here on the devices have no more memory than this, even if the arena does.
void limit_memory(int64_t bytes);

}  // namespace mica::cuda::emulate
