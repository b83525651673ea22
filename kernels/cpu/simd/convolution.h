#pragma once
// Depthwise convolution of float32 rows.

#include <cstdint>

namespace mica::cpu::simd {

/// Rows [first, first + rows) of one text [begin, end).
struct DepthwiseRows {
  const float* x = nullptr;       // [all rows, channels]
  const float* weight = nullptr;  // [kernel_size, channels]: the tap's filters side by side
  const float* bias = nullptr;    // [channels]; null: none
  float* y = nullptr;             // [all rows, channels]
  int64_t channels = 0, kernel_size = 0, before = 0;
  int64_t begin = 0, end = 0;
};

void depthwise(const DepthwiseRows& task, int64_t first, int64_t rows);

}  // namespace mica::cpu::simd
