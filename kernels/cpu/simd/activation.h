#pragma once
// Activations on float32 arrays, and the last step of a tile of a product.

#include <cstdint>

#include "mica/kernels/activation.h"

namespace mica::cpu::simd {

/// y[i] = activation(x[i]); y may be x.
void activation_forward(Activation activation, const float* x, float* y, int64_t count);
/// dx[i] = dy[i] * activation'(x[i]); dx may be dy.
void activation_backward(Activation activation, const float* x, const float* dy, float* dx, int64_t count);

/// y = activation(scale * sum + bias) + residual for a tile of sums.
struct TileFinish {
  float scale = 1;
  const float* bias = nullptr;  ///< of the tile's first column; may be null
  Activation activation = Activation::none;
  const float* residual = nullptr;  ///< of the tile's first element; may be null, may be y
  int64_t residual_row = 0;
  float* y = nullptr;
  int64_t y_row = 0;
};

void finish_tile(const TileFinish& finish, const float* sum, int64_t sum_row, int64_t rows, int64_t columns);

}  // namespace mica::cpu::simd
