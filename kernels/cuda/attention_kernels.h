#pragma once
// The ways in which attention runs; attention.cu picks one.

#include "mica/kernels/cuda/backend.h"

namespace mica::cuda {

struct AttentionGradients {
  const View &output, &d_output, &d_query, &d_key, &d_value, &d_bias, &d_sinks;
};

/// Any dtype, size and option: the reference. As of the other forward passes, sequences of at most `most_skipped`
/// queries are left alone.
void attention_forward_plain(CudaDevice& on, const AttentionArguments& arguments, const View& output,
                             const View& log_sum_exp, int most_skipped);
void attention_backward_plain(CudaDevice& on, const AttentionArguments& arguments, const AttentionGradients& gradients);
/// d_bias and d_sinks, from the RowSum of each query, [heads, query_rows].
void attention_backward_parameters(CudaDevice& on, const AttentionArguments& arguments,
                                   const AttentionGradients& gradients, void* sums);

/// On the matrix units: float16 or bfloat16 throughout, sizes up to 256 in rows that move 16 bytes at a time.
bool attention_fits_tiles(const AttentionArguments& arguments);
void attention_forward_tiles(CudaDevice& on, const AttentionArguments& arguments, const View& output,
                             const View& log_sum_exp, int most_skipped);
void attention_backward_tiles(CudaDevice& on, const AttentionArguments& arguments, const AttentionGradients& gradients);
/// Forward by the warpgroup instructions of sm_90a: such types and rows, sizes of 33 to 128.
bool attention_fits_hopper(const CudaDevice& on, const AttentionArguments& arguments);
void attention_forward_hopper(CudaDevice& on, const AttentionArguments& arguments, const View& output,
                              const View& log_sum_exp, int most_skipped);
/// Whether anything but scale, causal order and window has a say in the scores.
bool attention_extras(const AttentionArguments& arguments);

/// Float32 queries by the ordinary units, sizes and rows alike; the forward pass takes narrower keys and values, too.
bool attention_fits_float_tiles(const AttentionArguments& arguments);
void attention_forward_float(CudaDevice& on, const AttentionArguments& arguments, const View& output,
                             const View& log_sum_exp, int most_skipped);
void attention_backward_float(CudaDevice& on, const AttentionArguments& arguments, const AttentionGradients& gradients);

/// Few queries over many keys, of such types and sizes: the sequences of at most `most_queries`.
bool attention_decodes(const AttentionArguments& arguments);
void attention_forward_decode(CudaDevice& on, const AttentionArguments& arguments, const View& output,
                              const View& log_sum_exp, int most_queries);

}  // namespace mica::cuda
