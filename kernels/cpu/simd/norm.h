#pragma once
// Layer norm, RMS norm, softmax and its logarithm's sum over rows of float32.

#include <cstdint>

#include "mica/kernels/random.h"

namespace mica::cpu::simd {

/// As NormKernels::layer_norm, with a row stride for x, residual, y and sum. bias, residual, sum, mean, rstd may be
/// null; y and sum may be x or residual.
struct LayerNorm {
  const float* x = nullptr;
  int64_t x_row = 0;
  const float* residual = nullptr;
  int64_t residual_row = 0;
  Dropout dropout;  ///< of x, before the residual; rows are then contiguous, and sum is given
  const float* weight = nullptr;
  const float* bias = nullptr;
  float epsilon = 0;
  float* y = nullptr;
  int64_t y_row = 0;
  float* sum = nullptr;
  int64_t sum_row = 0;
  float* mean = nullptr;
  float* rstd = nullptr;
  int64_t size = 0;
};

/// The rows [begin, end), on this thread.
void layer_norm_rows(const LayerNorm& norm, int64_t begin, int64_t end);
/// All rows, on all threads.
void layer_norm(const LayerNorm& norm, int64_t rows);

/// As NormKernels::layer_norm_backward on contiguous rows; dsum, ds, dx, dweight, dbias may be null.
struct LayerNormBackward {
  const float* dy = nullptr;
  const float* sum = nullptr;
  const float* mean = nullptr;
  const float* rstd = nullptr;
  const float* weight = nullptr;
  const float* dsum = nullptr;
  Dropout dropout;
  float* ds = nullptr;
  float* dx = nullptr;
  float* dweight = nullptr;
  float* dbias = nullptr;
  int64_t size = 0;
};

void layer_norm_backward(const LayerNormBackward& norm, int64_t rows);

/// As NormKernels::rms_norm on rows of `heads` vectors each; factor is weight_offset + weight. rstd may be null.
struct RmsNorm {
  const float* x = nullptr;
  int64_t x_row = 0, x_head = 0, heads = 1;  ///< vector (row, head) of x at x + row * x_row + head * x_head
  const float* factor = nullptr;
  float epsilon = 0;
  float* y = nullptr;     ///< contiguous
  float* rstd = nullptr;  ///< contiguous
  int64_t size = 0;
};

void rms_norm(const RmsNorm& norm, int64_t rows);

/// As NormKernels::rms_norm_backward; dx and dweight may be null.
struct RmsNormBackward {
  const float* dy = nullptr;  ///< contiguous
  const float* x = nullptr;
  int64_t x_row = 0, x_head = 0, heads = 1;
  const float* rstd = nullptr;
  const float* factor = nullptr;
  float* dx = nullptr;  ///< contiguous
  float* dweight = nullptr;
  int64_t size = 0;
};

void rms_norm_backward(const RmsNormBackward& norm, int64_t rows);

/// y = softmax(x), or its logarithm, over each of the contiguous rows; y may be x.
void softmax(const float* x, float* y, int64_t rows, int64_t size, bool log);
/// dx of softmax from its output; dx may be dy.
void softmax_backward(const float* y, const float* dy, float* dx, int64_t rows, int64_t size, bool log);

/// log(sum of e^x), on this thread.
double log_sum_exp(const float* x, int64_t size);
/// y = factor * e^(x - level), on this thread; y may be x.
void scaled_exp(const float* x, float level, float factor, float* y, int64_t size);

}  // namespace mica::cpu::simd
