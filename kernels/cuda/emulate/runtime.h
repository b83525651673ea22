#pragma once
// The part of the emulated runtime that the machine knows: streams that record graphs.

#include <functional>

namespace mica::cuda::emulate {

bool recording(void* stream);
void record(void* stream, std::function<void()> work);

}  // namespace mica::cuda::emulate
