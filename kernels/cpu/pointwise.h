#pragma once
// Row operations that more than one kernel needs.

#include <cstdint>

#include "mica/kernels/activation.h"
#include "mica/kernels/random.h"

namespace mica::cpu {

/// y[i] = activation(x[i]); y may be x.
template <typename T>
void activate(Activation activation, const T* x, T* y, int64_t n);

/// dx[i] = dy[i] * activation'(x[i]); dx may be dy.
template <typename T>
void activate_backward(Activation activation, const T* x, const T* dy, T* dx, int64_t n);

/// y = (x - mean) * rstd * weight + bias over one row; bias may be null, y may be x, mean and rstd may be null.
template <typename T>
void layer_norm_row(const T* x, const T* weight, const T* bias, double eps, int64_t size, T* y, T* mean, T* rstd);

/// What dropout makes of the elements [first, first + count) of a tensor, with residual[i] added unless it is null. y
/// may be x or the residual.
template <typename T>
void drop_elements(const Dropout& dropout, int64_t first, const T* x, const T* residual, T* y, int64_t count);

/// Sum of n elements, in double for floats, in an order that depends on n alone: eight interleaved sums, so that the
/// compiler can use vectors.
template <typename F>
double sum_of(int64_t n, const F& term) {
  double lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) lanes[lane] += static_cast<double>(term(i + lane));
  }
  for (int64_t lane = 0; i < n; ++i, ++lane) lanes[lane] += static_cast<double>(term(i));
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

}  // namespace mica::cpu
