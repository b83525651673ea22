#pragma once
// Sliding windows with global tokens: every token sees its neighbours and the global tokens; global tokens see, and are
// seen by, all others, through projections of their own. Linear in the length of the text.
// Beltagy et al., "Longformer: The Long-Document Transformer", 2020.

#include <cstdint>
#include <string>
#include <vector>

#include "mica/models/modules/linear.h"
#include "mica/models/modules/self_attention.h"
#include "mica/models/scope.h"

namespace mica {

/// Which tokens are global where the call doesn't say.
enum class GlobalTokens : uint8_t {
  none,
  first,             ///< each sequence's first
  before_separator,  ///< those before the first of three separators: a question before its text
  after_separator,   ///< those behind the first two of three separators
};

struct LocalGlobalSpec {
  int64_t num_heads = 0;
  std::vector<int64_t> reach;  ///< a layer's: how far a token sees to either side
  double dropout = 0;
  GlobalTokens global_tokens = GlobalTokens::none;
  int64_t separator = -1;                 ///< token id
  std::string module = "attention.self";  ///< below a layer
};

class LocalGlobalAttention : public SelfAttention {
 public:
  /// `layers`: where each layer's parameters stand, below `scope`.
  LocalGlobalAttention(const Scope& scope, const std::vector<std::string>& layers, int64_t hidden_size,
                       LocalGlobalSpec spec);

  LayerMixer start(const Rows& rows) const override;

 private:
  struct Layer {
    LinearGroup local;
    Linear global_query, global_key, global_value;
  };
  struct Blocks;  // the windows of one reach
  struct Call;

  std::vector<uint8_t> global_tokens(const Rows& rows) const;
  Tensor mix(size_t layer, const Tensor& x, const Call& call) const;

  LocalGlobalSpec spec_;
  int64_t head_size_;
  DType product_dtype_;
  std::vector<Layer> layers_;
};

}  // namespace mica
