#include "mica/models/modules/token_convolution.h"

#include <string>
#include <vector>

#include "mica/autograd/activation.h"
#include "mica/autograd/elementwise.h"
#include "mica/autograd/linear.h"
#include "mica/autograd/random.h"
#include "mica/autograd/shape.h"
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
  const Scope convolution = scope / "conv";
  weight_ = convolution.weight("weight", {hidden_size, hidden_size / spec.groups, spec.kernel_size});
  bias_ = convolution.zeros("bias", {hidden_size});
  norm_ = Norm(scope / "LayerNorm", hidden_size, spec.norm);
}

Tensor TokenConvolution::neighbours(const Tensor& x, const Rows& rows) const {
  const int64_t reach = spec_.kernel_size / 2;
  const int64_t nothing = rows.rows();  // a row of zeros
  std::vector<int64_t> index;
  index.reserve(static_cast<size_t>(rows.rows() * spec_.kernel_size));
  for (int64_t text = 0; text < rows.batch(); ++text) {
    const int64_t begin = rows.offsets.begin(text);
    const int64_t end = begin + rows.offsets.length(text);
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t at = row - reach; at <= row + reach; ++at) index.push_back(at < begin || at >= end ? nothing : at);
    }
  }
  const Tensor padded = cat({x, Tensor::zeros({1, x.size(1)}, x.dtype(), x.device())}, 0);
  return reshape(index_select(padded, Tensor::from(index).to(rows.device)),
                 {rows.rows(), spec_.kernel_size, x.size(1)});
}

Tensor TokenConvolution::operator()(const Tensor& x, const Tensor& states, const Rows& rows) const {
  const Tensor seen = neighbours(x, rows);
  const int64_t hidden = x.size(1);
  const int64_t part = hidden / spec_.groups;
  const Tensor weight = transpose(weight_, 1, 2);  // [hidden, kernel, part], as the neighbours lie
  std::vector<Tensor> parts;
  for (int64_t group = 0; group < spec_.groups; ++group) {
    const int64_t first = group * part;
    const Shape flat_x{rows.rows(), spec_.kernel_size * part}, flat_weight{part, spec_.kernel_size * part};
    parts.push_back(linear(reshape(slice(seen, 2, first, first + part), flat_x),
                           reshape(slice(weight, 0, first, first + part), flat_weight),
                           slice(bias_, 0, first, first + part), product_dtype_));
  }
  Tensor y = parts.size() == 1 ? parts.front() : cat(parts, 1);
  const Tensor shown = rows.key_mask.defined() ? rows.key_mask.to(y.dtype()).reshape({rows.rows(), 1}) : Tensor();
  if (shown.defined()) y = multiply(y, shown);
  y = activate(rows.training ? dropout(y, spec_.dropout) : y, spec_.activation);
  y = norm_(y, states);
  return shown.defined() ? multiply(y, shown) : y;
}

}  // namespace mica
