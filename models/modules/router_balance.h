#pragma once
// How evenly routers spread tokens over experts, and the loss that asks them to. Fedus et al. 2021, "Switch
// Transformers", equations (4) to (6):
//
//     loss = experts * sum over experts of (share of the choices) * (mean probability)
//
// both over the tokens of all layers together. A token that is hidden from attention does not count.

#include "mica/tensor/tensor.h"

namespace mica {

/// Of one layer, float32 [2, experts]: how often each expert was chosen (no gradient flows there), and the sum of its
/// probabilities, the softmax of logits [rows, experts]. `chosen`: int64 [rows, k]; `shown`: bool [rows], undefined:
/// all.
Tensor router_balance(const Tensor& logits, const Tensor& chosen, const Tensor& shown);

/// The loss, float32 [], of the sum of the layers' balances; `rows`: those that counted, of all layers together.
Tensor load_balancing_loss(const Tensor& balance, int64_t rows);

}  // namespace mica
