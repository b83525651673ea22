#include "mica/models/modules/norm.h"

#include "mica/autograd/random.h"

namespace mica {

Tensor Norm::operator()(const Tensor& x, const Tensor& residual, double p) const {
  if (p == 0 && fusable()) return add_layer_norm(x, residual, weight_, bias_, spec_.eps);
  return with_sum(x, residual, p).normed;
}

NormedSum Norm::with_sum(const Tensor& x, const Tensor& residual, double p) const {
  if (spec_.kind == NormKind::layer_norm)
    return dropout_add_layer_norm(x, residual, p, weight_, bias_, spec_.eps, spec_.weight_offset);
  const Tensor sum = dropout_add(x, residual, p);
  return {sum, (*this)(sum)};
}

}  // namespace mica
