// Attention's host side: which of the kernels in attention_*.cu runs.

#include "mica/kernels/attention.h"
#include "mica/kernels/cuda/attention_arguments.h"
#include "mica/kernels/cuda/attention_kernels.h"
#include "mica/kernels/cuda/backend.h"
#include "mica/kernels/cuda/support.h"

namespace mica::cuda {
namespace {

// Sequences of so few queries are decoded: each by its own length, so that it does not matter what else is in the
// batch.
constexpr int kFewQueries = 8;

// Whether each head's row of a [rows, heads, size] operand moves 16 bytes at a time.
bool wide(const View& x) {
  return wide_rows(x, x.size(2), x.stride(0)) && wide_rows(x, x.size(2), x.stride(1));
}

}  // namespace

void CudaAttention::forward(const AttentionArguments& arguments, const View& output, const View& log_sum_exp) {
  for (const View* view : {&arguments.key, &arguments.value}) {
    const bool narrow = view->dtype == DType::float16 || view->dtype == DType::bfloat16;
    if (view->dtype != arguments.query.dtype && !narrow) {
      unsupported("attention.forward", view->dtype, device_.device());
    }
  }
  int skipped = 0;
  if (attention_decodes(arguments)) {
    attention_forward_decode(device_, arguments, output, log_sum_exp, kFewQueries);
    skipped = kFewQueries;
    if (longest(arguments.query_segments) <= skipped) return;
  }
  if (attention_fits_hopper(device_, arguments) && wide(output)) {
    attention_forward_hopper(device_, arguments, output, log_sum_exp, skipped);
  } else if (attention_fits_tiles(arguments) && wide(output)) {
    attention_forward_tiles(device_, arguments, output, log_sum_exp, skipped);
  } else if (attention_fits_float_tiles(arguments) && wide(output)) {
    attention_forward_float(device_, arguments, output, log_sum_exp, skipped);
  } else {
    attention_forward_plain(device_, arguments, output, log_sum_exp, skipped);
  }
}

void CudaAttention::backward(const AttentionArguments& arguments, const View& output, const View& /*log_sum_exp*/,
                             const View& d_output, const View& d_query, const View& d_key, const View& d_value,
                             const View& d_bias, const View& d_sinks) {
  for (const View* view : {&arguments.key, &arguments.value}) {
    if (view->dtype != arguments.query.dtype) unsupported("attention.backward", view->dtype, device_.device());
  }
  const AttentionGradients gradients{output, d_output, d_query, d_key, d_value, d_bias, d_sinks};
  bool all_wide = true;
  for (const View* view : {&output, &d_output, &d_query, &d_key, &d_value}) all_wide = all_wide && wide(*view);
  if (all_wide && attention_fits_tiles(arguments)) {
    attention_backward_tiles(device_, arguments, gradients);
  } else if (all_wide && attention_fits_float_tiles(arguments)) {
    attention_backward_float(device_, arguments, gradients);
  } else {
    attention_backward_plain(device_, arguments, gradients);
  }
}

}  // namespace mica::cuda
