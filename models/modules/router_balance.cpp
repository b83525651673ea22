#include "mica/models/modules/router_balance.h"

#include "mica/autograd/elementwise.h"
#include "mica/autograd/reduce.h"
#include "mica/autograd/shape.h"

namespace mica {

Tensor router_balance(const Tensor& logits, const Tensor& chosen, const Tensor& shown) {
  const int64_t rows = logits.size(0), experts = logits.size(1), choices = chosen.numel();
  Tensor probabilities = softmax(cast(logits, DType::float32));
  Tensor counted = Tensor::full({rows, choices / rows}, 1, DType::float32, logits.device());
  if (shown.defined()) {
    const Tensor mask = reshape(shown.to(DType::float32), {rows, 1});
    probabilities = multiply(probabilities, mask);
    counted = multiply(counted, mask);
  }
  const Tensor counts = index_add(experts, reshape(chosen, {choices}), reshape(counted, {choices, 1}));
  return cat({reshape(counts, {1, experts}), reshape(sum(probabilities, 0), {1, experts})}, 0);
}

Tensor load_balancing_loss(const Tensor& balance, int64_t rows) {
  const Tensor both = multiply(select(balance, 0, 0).detach(), select(balance, 0, 1));
  const auto count = static_cast<double>(rows);
  return affine(sum(both), static_cast<double>(balance.size(1)) / (count * count));
}

}  // namespace mica
