#pragma once
// A convolution over the tokens of each text, joined to the states of the first layer: what each token's nearest
// neighbours say, below the attention (He et al., "DeBERTa", 2020, version 2's large models).

#include <cstdint>

#include "mica/kernels/activation.h"
#include "mica/models/inputs.h"
#include "mica/models/modules/norm.h"
#include "mica/models/scope.h"

namespace mica {

struct TokenConvolutionSpec {
  int64_t kernel_size = 0;  ///< tokens that one sees, itself in the middle: odd; 0: no convolution
  int64_t groups = 1;       ///< parts of the state that don't see each other
  Activation activation = Activation::tanh;
  double dropout = 0;
  NormSpec norm;
};

/// y = norm(states + activation(dropout(conv(x)))), of hidden tokens zero. conv.weight is [hidden, hidden / groups,
/// kernel]; beyond a text's ends are zeros.
class TokenConvolution {
 public:
  TokenConvolution() = default;
  /// Throws Error for an even kernel, and for groups that do not divide the hidden size.
  TokenConvolution(const Scope& scope, int64_t hidden_size, const TokenConvolutionSpec& spec);

  bool defined() const { return weight_.defined(); }
  /// x and states: [rows, hidden_size].
  Tensor operator()(const Tensor& x, const Tensor& states, const Rows& rows) const;

 private:
  TokenConvolutionSpec spec_;
  DType product_dtype_ = DType::float32;
  Tensor weight_, bias_;
  Norm norm_;
};

}  // namespace mica
