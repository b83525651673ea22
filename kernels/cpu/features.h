#pragma once
// What the CPU kernels found on this machine.

#include <string>

namespace mica {

/// The instruction set that SIMD kernels run with ("AVX3", "AVX2", "NEON", "EMU128" without any), and, after it, what
/// else they use: "AVX3_ZEN4, bfloat16".
std::string cpu_features();

}  // namespace mica
