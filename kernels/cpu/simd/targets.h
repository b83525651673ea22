#pragma once
// Which of Highway's targets the kernels here are compiled for. Included before any header of Highway's.
// x86: AVX-512, AVX2 with FMA, and plain scalar code for anything older. ARM: NEON. The targets left out would cost
// compile time and program size, and have either no fixed vector length or no machine that would miss them.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_AVX3_DL | HWY_SSE4 | HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
