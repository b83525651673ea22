#pragma once
// Attention in float32.

#include "mica/kernels/attention.h"

namespace mica::cpu::simd {

/// As AttentionKernels::forward, all of it, for queries in float32, with keys and values of one dtype: that, float16 or
/// bfloat16. Keys outside of the window cost nothing. `bfloat16`: where the
/// CPU multiplies bfloat16, the weights and the values are rounded for their product. Scores stay float32: with keys
/// and queries rounded too, the worst of 40,000 tokens of MiniLM fell from a cosine of 0.99992 to 0.99985.
void attention_forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                       bool bfloat16 = false);

/// As AttentionKernels::backward, float32, without d_bias.
void attention_backward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp,
                        const View& d_output, const View& d_query, const View& d_key, const View& d_value);

}  // namespace mica::cpu::simd
