#pragma once
// Steps of attention on a few rows of scores that lie in L1.

#include <algorithm>
#include <cstdint>

namespace mica::cpu::simd {

/// The queries of one tile while the keys pass by in blocks.
struct ScoreRows {
  int64_t rows = 0;
  int64_t stride = 0;  ///< of scores
  // t = scale * s + bias + mask, when any of it is wanted.
  bool prepare = false;
  float scale = 1;
  const float* bias = nullptr;  ///< of the tile's first query and the first key
  int64_t bias_row = 0;
  const float* mask = nullptr;  ///< 0 or -infinity for each key
  float exponent = 1;           ///< weights are e^(exponent * (t - largest)); positive
  // Row r sees the keys before visible_first + r when causal.
  bool causal = false;
  int64_t visible_first = 0, all_keys = 0;
  // Running state of each row.
  float* largest = nullptr;  ///< at first -infinity
  float* sum = nullptr;
  float* correction = nullptr;  ///< what the block's arrival multiplies earlier weights by; not for the first block

  int64_t visible(int64_t row) const {
    return causal ? std::clamp<int64_t>(visible_first + row, 0, all_keys) : all_keys;
  }
};

/// Turns the scores of the keys [first_key, first_key + keys) into weights that are not yet divided by their sum.
/// Columns up to a whole vector are overwritten with zeros.
void score_rows(const ScoreRows& task, float* s, int64_t first_key, int64_t keys);

/// y[r, :] = x[r, :] * factors[r]; y may be x.
void scale_rows(float* x, int64_t stride, int64_t rows, int64_t size, const float* factors, float* y, int64_t y_row);

/// Turns scores into weights by a known log sum exp of each row (the lowest number: a row that sees no key).
void weight_rows(const ScoreRows& task, float* s, int64_t keys, const float* log_sum_exp);

/// One row of the backward pass: ds = p * (dp * factors - total), and p = p * factors; dp becomes ds. No factors: 1.
void score_gradient_row(float* p, float* dp, const float* factors, float total, int64_t keys);

/// x[i] = x[i] * factors[i].
void multiply_row(float* x, const float* factors, int64_t count);

/// The sum of x[i] * y[i].
float dot_row(const float* x, const float* y, int64_t count);

}  // namespace mica::cpu::simd
