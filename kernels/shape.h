#pragma once
// Moving elements: copies between layouts and dtypes.

#include "mica/kernels/backend.h"

namespace mica {

class ShapeKernels {
 public:
  virtual ~ShapeKernels() = default;
  /// y = x, element by element, of one shape, any strides (x may be broadcast), converting the dtype: floating to
  /// integer truncates, to bool compares with 0, to a narrower float rounds to nearest even.
  virtual void copy(const View& x, const View& y) = 0;
  /// Every element of y = value.
  virtual void fill(const View& y, double value) = 0;
  /// y[i] = start + i * step, y one-dimensional.
  virtual void arange(double start, double step, const View& y) = 0;
  /// y[index[i], :, :] = x[i, :, :]. x [n, heads, size] and y [rows, heads, size] of one dtype, their last dimension
  /// dense; index int64 [n], contiguous, each in [0, rows), no two alike.
  virtual void put_rows(const View& x, const View& index, const View& y) = 0;
};

}  // namespace mica
