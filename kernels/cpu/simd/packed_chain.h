#pragma once
// Several packed linear layers, one after the other, on the same rows.

#include <span>

#include "mica/kernels/linear.h"

namespace mica::cpu::simd {

/// As LinearKernels::forward_packed_chain; float32 activations, parameters and residuals.
void packed_chain(const View& x, std::span<const ChainStep> steps);

}  // namespace mica::cpu::simd
