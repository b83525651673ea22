#pragma once
// Steps of attention on a few rows of scores that lie in L1.

#include <cstdint>

#include "mica/kernels/cpu/attention_reach.h"

namespace mica::cpu::simd {

/// The queries of one tile while the keys pass by in blocks.
struct ScoreRows {
  int64_t rows = 0;
  int64_t stride = 0;  ///< of scores
  // t = scale * s + bias + slope * (key - position) + mask, when any of it is wanted.
  bool prepare = false;
  float scale = 1;
  const float* bias = nullptr;  ///< of the tile's first query and the first key
  int64_t bias_row = 0;
  const float* mask = nullptr;  ///< 0 or -infinity for each key
  float slope = 0;
  float exponent = 1;  ///< weights are e^(exponent * (t - largest)); positive
  // Row r stands at position + r and sees the keys in its reach.
  Reach reach;
  int64_t position = 0, all_keys = 0;
  bool sinks = false;  ///< a row that sees no key has no weights, where else they would be all alike
  // Running state of each row.
  float* largest = nullptr;  ///< at first -infinity
  float* sum = nullptr;
  float* correction = nullptr;  ///< what the block's arrival multiplies earlier weights by; not for the first block

  KeyRange visible(int64_t row) const { return reach.visible(position + row, all_keys); }
  /// Of all rows together.
  KeyRange visible() const { return reach.visible(position, position + rows - 1, all_keys); }
};

/// s = softcap * tanh(scale * s / softcap) for each row. slopes, if wanted, lie like s: 1 - tanh² of each. Columns up
/// to a whole vector are computed as well.
void cap_rows(const ScoreRows& task, float scale, float softcap, int64_t keys, float* s, float* slopes);

/// Turns the scores of the keys [first_key, first_key + keys) into weights that are not yet divided by their sum.
/// `first`: no block of keys came before. Columns up to a whole vector are overwritten with zeros.
void score_rows(const ScoreRows& task, float* s, int64_t first_key, int64_t keys, bool first);

/// y[r, :] = x[r, :] * factors[r]; y may be x.
void scale_rows(float* x, int64_t stride, int64_t rows, int64_t size, const float* factors, float* y, int64_t y_row);

/// Turns the scores of the keys [first_key, first_key + keys) into weights by a known log sum exp of each row (the
/// lowest number, without sinks: a row that sees no key).
void weight_rows(const ScoreRows& task, float* s, int64_t first_key, int64_t keys, const float* log_sum_exp);

/// One row of the backward pass: ds = p * (dp * factors - total), and p = p * factors; dp becomes ds. No factors: 1.
void score_gradient_row(float* p, float* dp, const float* factors, float total, int64_t keys);

/// x[i] = x[i] * factors[i].
void multiply_row(float* x, const float* factors, int64_t count);

/// The sum of x[i] * y[i].
float dot_row(const float* x, const float* y, int64_t count);

}  // namespace mica::cpu::simd
