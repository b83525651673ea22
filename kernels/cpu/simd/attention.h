#pragma once
// Attention in float32.

#include "mica/kernels/attention.h"

namespace mica::cpu::simd {

/// As AttentionKernels::forward, float32, without dropout.
void attention_forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp);

}  // namespace mica::cpu::simd
