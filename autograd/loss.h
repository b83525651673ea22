#pragma once
// Losses: one number each, differentiable with respect to the predictions.

#include "mica/tensor/tensor.h"

namespace mica {

/// Mean over rows of -log softmax(logits)[label]. logits [rows, classes]; labels int64 [rows], each in [0, classes) or
/// ignore_index (those rows don't count; if none counts the loss is NaN). Labels on the host are checked.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels, int64_t ignore_index = -100);

/// Mean of (x - target)^2.
Tensor mse_loss(const Tensor& x, const Tensor& target);

/// Mean binary cross entropy of sigmoid(x) against targets in [0, 1].
Tensor bce_with_logits(const Tensor& x, const Tensor& target);

}  // namespace mica
