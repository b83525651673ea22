#pragma once
// Losses, each with its gradient.

#include "mica/kernels/backend.h"

namespace mica {

class LossKernels {
 public:
  virtual ~LossKernels() = default;

  /// loss (one element) = mean over counted rows of (log_sum_exp(row) - row[label]); rows whose label is ignore_index
  /// don't count; without any counted row the loss is NaN, as the reference's is. logits [rows, classes] contiguous,
  /// labels int64 [rows], log_sum_exp [rows] is written for the backward pass. Labels must be ignore_index or in
  /// [0, classes).
  virtual void cross_entropy(const View& logits, const View& labels, int64_t ignore_index, const View& loss,
                             const View& log_sum_exp) = 0;
  /// dlogits = dloss * (softmax(row) - onehot(label)) / counted rows, 0 for ignored rows. dlogits may be logits.
  virtual void cross_entropy_backward(const View& dloss, const View& logits, const View& labels, int64_t ignore_index,
                                      const View& log_sum_exp, const View& dlogits) = 0;

  /// loss = mean((x - target)^2) over all elements.
  virtual void mse(const View& x, const View& target, const View& loss) = 0;
  virtual void mse_backward(const View& dloss, const View& x, const View& target, const View& dx) = 0;

  /// loss = mean(max(x, 0) - x * target + log(1 + exp(-|x|))): binary cross entropy of sigmoid(x), over all elements.
  virtual void bce_with_logits(const View& x, const View& target, const View& loss) = 0;
  virtual void bce_with_logits_backward(const View& dloss, const View& x, const View& target, const View& dx) = 0;
};

}  // namespace mica
