#pragma once
// Attention that meets distances through their sines, and segments through "the same" or "another": Transformer-XL's,
// Dai et al. 2019, as XLNet has it, Yang et al. 2019.

#include <cstdint>
#include <string>
#include <vector>

#include "mica/models/modules/self_attention.h"
#include "mica/models/scope.h"

namespace mica {

struct RelativeAttentionSpec {
  int64_t num_heads = 0, head_size = 0;
  int64_t furthest = 0;  ///< larger distances count as this one; 0: none do
  bool causal = false;
  double dropout = 0;               ///< of weights and positions
  std::string module = "rel_attn";  ///< below a layer
};

/// Its mixers project their result to the hidden size themselves.
class RelativeAttention : public SelfAttention {
 public:
  /// `layers`: where each layer's parameters stand, below `scope`.
  RelativeAttention(const Scope& scope, const std::vector<std::string>& layers, int64_t hidden_size,
                    RelativeAttentionSpec spec);

  LayerMixer start(const Rows& rows) const override;
  Tensor mix_next(size_t layer, const Tensor& x, const Tensor& keys) const override;

 private:
  struct Layer {
    Tensor query, key, value, position, output;                 // [hidden_size, heads, head_size]
    Tensor content_bias, position_bias, segment_bias, segment;  // [heads, head_size], the last [2, heads, head_size]
  };
  struct Call;

  Tensor sines(int64_t first, int64_t count, Device device) const;
  Tensor project(const Tensor& x, const Tensor& weight) const;
  Tensor project_out(const Tensor& mixed, const Layer& layer) const;
  Tensor mix(const Layer& layer, const Tensor& x, const Call& call) const;

  RelativeAttentionSpec spec_;
  int64_t hidden_size_;
  DType product_dtype_;
  std::vector<Layer> layers_;
};

}  // namespace mica
