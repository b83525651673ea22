#pragma once
// Reductions over one dimension, softmax among them. One fixed order of summation, whatever the number of threads.

#include "mica/kernels/attention.h"
#include "mica/kernels/backend.h"

namespace mica {

enum class ReduceOp : uint8_t { sum, mean, max, min };

class ReduceKernels {
 public:
  virtual ~ReduceKernels() = default;
  /// y[outer, inner] = op over the middle dimension of x[outer, size, inner], both contiguous; size > 0 for max and
  /// min.
  virtual void reduce(ReduceOp op, const View& x, const View& y) = 0;
  /// y (int64) [outer, inner] = index of the first largest element over the middle dimension; NaN counts as largest.
  virtual void argmax(const View& x, const View& y) = 0;
  /// y = softmax(x) over the last dimension, or its logarithm; contiguous; y may be x.
  virtual void softmax(const View& x, bool log, const View& y) = 0;
  /// dx of softmax (or log softmax) from its output y; dx may be dy.
  virtual void softmax_backward(const View& y, const View& dy, bool log, const View& dx) = 0;
  /// values and indices (int64), [rows, k], of the k largest of each row of x [rows, size], largest first, ties by
  /// index.
  virtual void topk(const View& x, const View& values, const View& indices) = 0;
  /// y[segment, :] = op over the rows of the segment of x[rows, size] (sum, mean or max), each row i first multiplied
  /// by weights[i] if weights (floating [rows]) is given; an empty segment gives zeros.
  virtual void segment_reduce(ReduceOp op, const View& x, const Segments& segments, const View& weights,
                              const View& y) = 0;
};

}  // namespace mica
