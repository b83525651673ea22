#pragma once
// Activations on float32 arrays, and the last step of a tile of a product.

#include <cstdint>

#include "mica/kernels/activation.h"

namespace mica::cpu::simd {

/// y[i] = activation(x[i]); y may be x.
void activation_forward(Activation activation, const float* x, float* y, int64_t count);
/// dx[i] = dy[i] * activation'(x[i]); dx may be dy.
void activation_backward(Activation activation, const float* x, const float* dy, float* dx, int64_t count);

/// y[i] = cap tanh(x[i] / cap); y may be x.
void softcap(const float* x, float cap, float* y, int64_t count);
/// dx[i] = dy[i] (1 - (y[i] / cap)^2); dx may be dy.
void softcap_backward(const float* y, const float* dy, float cap, float* dx, int64_t count);

/// As ActivationKernels::gated and gated_backward: the rows' strides, and the gradients that only the latter uses.
struct Gated {
  Activation activation = Activation::none;
  const float* gate = nullptr;
  int64_t gate_row = 0;
  const float* up = nullptr;
  int64_t up_row = 0;
  float* y = nullptr;
  int64_t y_row = 0;
  int64_t size = 0;
  const float* dy = nullptr;
  int64_t dy_row = 0;
  float* dgate = nullptr;
  int64_t dgate_row = 0;
  float* dup = nullptr;
  int64_t dup_row = 0;
};

void gated(const Gated& task, int64_t rows);
void gated_backward(const Gated& task, int64_t rows);

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

/// An activation over a finished tile of y: activated = activation(y), or, where `before` is given, y *=
/// activation'(before) and activated = activation(before). Pointers are those of the tile's first element, and may be
/// null.
struct TileActivation {
  Activation activation = Activation::none;
  const float* before = nullptr;
  float* activated = nullptr;
  int64_t row = 0;  ///< from row to row of both

  bool any() const { return before != nullptr || activated != nullptr; }
  /// Brings a tile's part of both into L1, for when the tile is made.
  void fetch(int64_t rows, int64_t columns) const {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; c += 16) {
        if (before != nullptr) __builtin_prefetch(before + r * row + c, 0, 3);
        if (activated != nullptr) __builtin_prefetch(activated + r * row + c, 1, 3);
      }
    }
  }
  TileActivation at(int64_t first_row, int64_t column) const {
    const int64_t offset = first_row * row + column;
    return {activation, before != nullptr ? before + offset : nullptr,
            activated != nullptr ? activated + offset : nullptr, row};
  }
};

void activate_tile(const TileActivation& task, float* y, int64_t y_row, int64_t rows, int64_t columns);

void finish_tile(const TileFinish& finish, const float* sum, int64_t sum_row, int64_t rows, int64_t columns);

}  // namespace mica::cpu::simd
