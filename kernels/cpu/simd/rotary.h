#pragma once
// Rotary position embedding of float32.

#include <cstdint>

#include "mica/kernels/rotary.h"

namespace mica::cpu::simd {

/// As RotaryKernels::rotate.
struct Rotary {
  const float* x = nullptr;
  int64_t x_row = 0, x_head = 0;
  const float* cos = nullptr;
  int64_t cos_row = 0;
  const float* sin = nullptr;
  int64_t sin_row = 0;
  float* y = nullptr;
  int64_t y_row = 0, y_head = 0;
  int64_t heads = 0, head_size = 0, half = 0, offset = 0;
  RotaryLayout layout = RotaryLayout::half_split;
  bool inverse = false;
};

void rotary(const Rotary& task, int64_t rows);

}  // namespace mica::cpu::simd
