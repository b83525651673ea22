#include "mica/models/modules/norm.h"

#include "mica/autograd/elementwise.h"

namespace mica {

Tensor Norm::operator()(const Tensor& x, const Tensor& residual) const {
  return fusable() ? add_layer_norm(x, residual, weight_, bias_, spec_.eps) : (*this)(add(x, residual));
}

}  // namespace mica
