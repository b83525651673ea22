#include "mica/models/modules/token_convolution.h"

#include <string>

#include "mica/autograd/activation.h"
#include "mica/autograd/convolution.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/random.h"
#include "mica/base/error.h"

namespace mica {

TokenConvolution::TokenConvolution(const Scope& scope, int64_t hidden_size, const TokenConvolutionSpec& spec)
    : spec_(spec), product_dtype_(scope.options().dtype) {
  if (spec.kernel_size % 2 == 0) {
    throw Error("conv_kernel_size " + std::to_string(spec.kernel_size), "a convolution over tokens",
                "it must be odd, so that there are as many tokens behind it as before");
  }
  if (spec.groups < 1 || hidden_size % spec.groups != 0) {
    throw Error("conv_groups " + std::to_string(spec.groups), "a convolution over tokens",
                "it must divide hidden_size, " + std::to_string(hidden_size));
  }
  const Scope inner = scope / "conv";
  weight_ = inner.weight("weight", {hidden_size, hidden_size / spec.groups, spec.kernel_size});
  bias_ = inner.zeros("bias", {hidden_size});
  norm_ = Norm(scope / "LayerNorm", hidden_size, spec.norm);
}

Tensor TokenConvolution::operator()(const Tensor& x, const Tensor& states, const Rows& rows) const {
  Tensor y = convolution(x, rows.offsets, weight_, bias_, spec_.kernel_size / 2, product_dtype_);
  const Tensor shown = rows.key_mask.defined() ? rows.key_mask.to(y.dtype()).reshape({rows.rows(), 1}) : Tensor();
  if (shown.defined()) y = multiply(y, shown);
  y = activate(rows.training ? dropout(y, spec_.dropout) : y, spec_.activation);
  y = norm_(y, states);
  return shown.defined() ? multiply(y, shown) : y;
}

}  // namespace mica
