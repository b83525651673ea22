#pragma once
// The clamped SwiGLU on float32.

#include <cstdint>

namespace mica::cpu::simd {

/// As ActivationKernels::clamped_swiglu and its backward: element (row, i) of gate lies at gate + row * gate_row + i *
/// gate_step, likewise the others; y and dy are contiguous.
struct ClampedSwiglu {
  const float* gate = nullptr;
  int64_t gate_row = 0, gate_step = 1;
  const float* up = nullptr;
  int64_t up_row = 0, up_step = 1;
  float limit = 0, alpha = 1;
  int64_t size = 0;
  float* y = nullptr;
  const float* dy = nullptr;
  float* dgate = nullptr;
  int64_t dgate_row = 0, dgate_step = 1;
  float* dup = nullptr;
  int64_t dup_row = 0, dup_step = 1;
};

void clamped_swiglu(const ClampedSwiglu& task, int64_t rows);
void clamped_swiglu_backward(const ClampedSwiglu& task, int64_t rows);

}  // namespace mica::cpu::simd
