#pragma once
// Scratch memory of a thread, kept from call to call.

#include <cstdint>

namespace mica::cpu::simd {

/// Users of scratch that may be alive at the same time on one thread.
enum class Scratch : uint8_t { shared, rows, tile, keys, scores, partials, chain, count };

/// At least `count` floats, 64-byte aligned, contents undefined; valid until this thread asks for the same slot again.
float* scratch(Scratch slot, int64_t count);

}  // namespace mica::cpu::simd
