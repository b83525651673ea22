#pragma once
// 2^x as the special function unit computes it: within 2 units of the last place, results below 2^-126 are 0.

#include <cmath>

#include "mica/kernels/cuda/device/keywords.h"

namespace mica::cuda {

__device__ __forceinline__ float exp2_quick(float x) {
#ifdef MICA_EMULATED
  return std::exp2(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

}  // namespace mica::cuda
