#pragma once
// Attention of a few queries to many keys: a step of decoding.

#include "mica/kernels/cpu/simd/attention_parts.h"

namespace mica::cpu::simd {

/// Whether a sequence is one for attention_decode(). That depends on nothing but itself, so that its result does not
/// depend on what stands beside it.
bool decodes(const AttentionArguments& arguments, const Sequence& sequence);

/// As AttentionKernels::forward for those sequences that decodes() holds for.
void attention_decode(const AttentionArguments& arguments, const View& output, const View& log_sum_exp);

}  // namespace mica::cpu::simd
