#pragma once
// The matrix registers (AMX), as the kernels that use them share them.

#include <cstdint>

namespace mica::cpu::simd {

/// Whether the CPU has them, and the system keeps them for this process. The rest is for where it does.
bool has_matrix_registers();

/// Readies this thread's eight registers of 16 rows by 16 words. `narrow` (1 to 16): words a row of registers 0 to 3, 6
/// and 7.
void begin_matrix_tiles(int64_t narrow);
void end_matrix_tiles();

/// The intrinsics do not tell the compiler that they read memory: to be called before a register is loaded from what
/// this function, or its caller, wrote.
inline void before_reading(const void* data) {
  asm volatile("" : : "r"(data) : "memory");
}

}  // namespace mica::cpu::simd
