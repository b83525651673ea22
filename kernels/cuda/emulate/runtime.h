#pragma once
// The emulated runtime beyond runtime.h: streams that record graphs, as the machine knows them, and which GPU is
// played.

#include <functional>

namespace mica::cuda::emulate {

bool recording(void* stream);
void record(void* stream, std::function<void()> work);

/// The devices act as GPUs of this compute capability from here on: which kernels are chosen, what shared memory there
/// is, which instructions there are. At first MICA_EMULATE_CAPABILITY ("8.0"), or 9.0.
void set_capability(int major, int minor);

/// From here on the devices have no more memory than this, even if the arena does.
void limit_memory(int64_t bytes);

}  // namespace mica::cuda::emulate
