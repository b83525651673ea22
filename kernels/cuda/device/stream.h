#pragma once
// Reads of what is used once: 16 bytes past the first-level cache, which is left to what is used again.

#include <cstdint>

#include "mica/kernels/cuda/device/number.h"
#include "mica/kernels/cuda/device/thread.h"

namespace mica::cuda {

#ifdef MICA_EMULATED

/// 16 bytes, 16-byte aligned. Reads are made in the order of the calls, before any matrix product that follows.
inline Pack<uint32_t, 4> load_once(const void* from, Line line = Line::here()) {
  emulate::check_global(from, 16, 16, "load_once", line);
  return load_pack<4>(static_cast<const uint32_t*>(from));
}

#else

__device__ __forceinline__ Pack<uint32_t, 4> load_once(const void* from) {
  Pack<uint32_t, 4> words;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.values[0]), "=r"(words.values[1]), "=r"(words.values[2]), "=r"(words.values[3])
               : "l"(from));
  return words;
}

#endif

}  // namespace mica::cuda
