#include "mica/kernels/cpu/features.h"

// clang-format off
#include "mica/kernels/cpu/simd/targets.h"
#include <hwy/highway.h>
// clang-format on

#include "mica/kernels/cpu/simd/tile.h"

namespace mica {

std::string cpu_features() {
  // The best target is the lowest bit that both the build and the machine have.
  const int64_t usable = hwy::SupportedTargets() & HWY_TARGETS;
  std::string text = hwy::TargetName(usable & -usable);
  if (cpu::simd::bfloat16_tile_kernels() != nullptr) text += ", bfloat16 products";
  if (cpu::simd::matrix_tile_kernels() != nullptr) text += ", matrix registers";
  return text;
}

}  // namespace mica
