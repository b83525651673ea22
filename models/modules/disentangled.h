#pragma once
// Disentangled attention: besides content with content, the content of one token meets the distance to the other.
// He et al., "DeBERTa: Decoding-enhanced BERT with Disentangled Attention", 2020.

#include <cstdint>
#include <string>
#include <vector>

#include "mica/models/modules/linear.h"
#include "mica/models/modules/norm.h"
#include "mica/models/modules/self_attention.h"
#include "mica/models/scope.h"

namespace mica {

struct DisentangledSpec {
  int64_t num_heads = 0;
  bool content_to_position = false;  ///< queries meet keys made from distances
  bool position_to_content = false;  ///< keys meet queries made from distances
  int64_t span = 0;          ///< distances are cut to [-span, span - 1]; the table has 2 * span rows; 0: no table
  int64_t buckets = 0;       ///< distances beyond half of the buckets share them logarithmically; 0: none do
  int64_t max_distance = 0;  ///< where the buckets end
  bool shared_projections = false;  ///< the content's own projections serve the distances as well
  bool normalised_table = false;
  int64_t terms = 1;  ///< scores are divided by sqrt(head_size * terms)
  /// Queries, keys and values come from one matrix, head by head, with biases of their own for queries and values.
  bool fused = false;
  double table_dropout = 0, dropout = 0;
  NormSpec norm;  ///< of the table
  // Names on disk: the table's below the network, the others' below a layer.
  std::string table = "encoder.rel_embeddings", table_norm = "encoder.LayerNorm";
  std::string module = "attention.self";
  std::string position_key = "pos_key_proj", position_query = "pos_query_proj";
  bool position_key_bias = true;
};

class DisentangledAttention : public SelfAttention {
 public:
  /// `layers`: where each layer's parameters stand, below `scope`.
  DisentangledAttention(const Scope& scope, const std::vector<std::string>& layers, int64_t hidden_size,
                        DisentangledSpec spec);

  LayerMixer start(const Rows& rows) const override;

 private:
  struct Layer {
    Linear query, key, value, fused;
    LinearGroup separate;
    Tensor query_bias, value_bias;
    Linear position_key, position_query;
  };
  struct Call;

  Tensor mix(const Layer& layer, const Tensor& x, const Call& call) const;
  Tensor position_heads(const Linear& projection, const Tensor& table, const Tensor& index, bool training) const;
  Tensor bias(const Layer& layer, const Tensor& query, const Tensor& key, const Call& call) const;

  DisentangledSpec spec_;
  int64_t head_size_;
  double scale_;
  DType product_dtype_;
  Tensor table_;
  Norm table_norm_;
  std::vector<Layer> layers_;
};

}  // namespace mica
