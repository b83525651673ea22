#pragma once
// Attention as a module: projections, norms of queries and keys, rotary positions, the product, the way out.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mica/autograd/attention.h"
#include "mica/models/modules/cache.h"
#include "mica/models/modules/linear.h"
#include "mica/models/modules/norm.h"
#include "mica/models/modules/rotary.h"
#include "mica/models/prefix.h"
#include "mica/models/scope.h"

namespace mica {

/// How a file holds the projections to queries, keys and values.
enum class ProjectionLayout : uint8_t {
  separate,      ///< three matrices
  concatenated,  ///< one, rows [queries; keys; values]
  key_value,     ///< of cross-attention: queries, and rows [keys; values]
  grouped,       ///< one, rows [key_value_heads, queries of the group + key + value, head_dim]
};

enum class QueryKeyNorm : uint8_t {
  none,
  per_head,       ///< over each head, one weight [head_dim] for all
  each_head,      ///< over each head, a weight a head: [heads, head_dim]
  module_a_head,  ///< the same, each head's weight under a name of its own, "q_layernorm.norms.0"
  full,           ///< over all heads together, before they are split
};

/// Keys and values made from one narrow latent vector a token (DeepSeek 2024); a part of each head, shared by all heads
/// of the key, carries the position.
struct LatentSpec {
  int64_t query_rank = 0;  ///< 0: queries are projected directly
  int64_t key_value_rank = 0;
  int64_t content_dim = 0;  ///< of a head of query and key, without position
  int64_t rotary_dim = 0;
  int64_t value_dim = 0;
  NormSpec norm;
};

/// Distances between tokens, in buckets, with a learned number a bucket and head (T5).
struct RelativeBiasSpec {
  int64_t buckets = 0;  ///< 0: none
  int64_t max_distance = 128;
  bool bidirectional = true;
};

/// Names on disk, below the layer's; which are read depends on the spec.
struct AttentionNames {
  std::string query = "self_attn.q_proj", key = "self_attn.k_proj", value = "self_attn.v_proj";
  std::string query_key_value = "self_attn.qkv_proj";
  std::string output = "self_attn.o_proj";
  std::string query_norm = "self_attn.q_norm", key_norm = "self_attn.k_norm";
  std::string sinks = "self_attn";   ///< the module whose "sinks" they are
  std::string latent = "self_attn";  ///< the module of q_a_proj, kv_a_proj_with_mqa, ...
  std::string relative_bias;         ///< of the layer that owns the table; others use the one before
};

struct AttentionSpec {
  int64_t num_attention_heads = 0, num_key_value_heads = 0, head_dim = 0;
  ProjectionLayout layout = ProjectionLayout::separate;
  bool transposed = false;  ///< files hold weights as [in, out]
  bool query_bias = false, key_bias = false, value_bias = false, output_bias = false;
  QueryKeyNorm query_key_norm = QueryKeyNorm::none;
  NormSpec norm;  ///< of queries and keys
  bool norm_after_rotary = false;
  double clip = 0;     ///< queries, keys and values are cut to [-clip, clip]; 0: not
  double scale = 1;    ///< of the scores
  double softcap = 0;  ///< scores become cap * tanh(scores / cap); 0: none
  int64_t window = 0;  ///< see kernels/attention.h; 0: none
  bool causal = true;
  bool sinks = false;
  std::vector<double> alibi;  ///< a slope a head; empty: none
  int rotary = -1;            ///< which of the stack's rotary positions; -1: none
  RotaryLayout rotary_layout = RotaryLayout::half_split;
  RelativeBiasSpec relative;
  std::optional<LatentSpec> latent;
  double dropout = 0;
  AttentionNames names;
};

/// What a call of all layers has in common.
struct AttentionContext {
  const SequenceOffsets* queries = nullptr;  ///< rows of each sequence
  const SequenceOffsets* keys = nullptr;     ///< of cross-attention: the encoder's rows
  Tensor key_mask;                           ///< bool [key rows]; undefined: all visible
  Tensor bias;                          ///< added to scores, undefined: none; a layer with its own table adds to it
  RecycledVector<RotaryAngles> rotary;  ///< of the rows
  KeyValueCache* cache = nullptr;
  std::shared_ptr<const PrefixedKeys> prefix;  ///< of self-attention; null: none
  bool training = false;
};

class Attention {
 public:
  Attention() = default;
  Attention(const Scope& scope, int64_t hidden_size, AttentionSpec spec);

  /// x [rows, hidden_size] to the same, `after` applied behind the output's projection. `layer` is the index in the
  /// cache.
  Tensor operator()(const Tensor& x, const AttentionContext& context, int64_t layer, const After& after) const;
  /// The same with keys and values of other states, as key_values() made them.
  Tensor cross(const Tensor& x, const std::pair<Tensor, Tensor>& key_values, const AttentionContext& context,
               const After& after) const;
  /// Keys and values [rows, heads, size] of an encoder's states [rows, hidden_size].
  std::pair<Tensor, Tensor> key_values(const Tensor& states) const;

  const AttentionSpec& spec() const { return spec_; }
  /// Undefined where the layer has none.
  const Tensor& relative_table() const { return relative_table_; }

 private:
  struct Parts {
    Tensor query, key, value;  // [rows, heads, size]
  };
  Parts project(const Tensor& x) const;
  void turn(Parts* parts, const AttentionContext& context) const;
  HeadNorms head_norms() const;
  bool placeable(const Parts& parts) const;
  bool place(Parts* parts, const AttentionContext& context, int64_t layer) const;
  Parts project_latent(const Tensor& x, const AttentionContext& context) const;
  Tensor normalise(const Tensor& x, const Norm& norm, const std::vector<Norm>& norms, const Tensor& weights) const;
  Tensor mix(const Parts& parts, const SequenceOffsets& keys, const Tensor& key_mask, const AttentionContext& context,
             bool causal) const;

  AttentionSpec spec_;
  DType product_dtype_ = DType::float32;
  LinearGroup separate_;
  Linear query_, key_, value_, fused_, output_;
  Linear query_down_, query_up_, latent_down_, latent_up_;
  Norm query_norm_, key_norm_, query_latent_norm_, latent_norm_;
  std::vector<Norm> query_norms_, key_norms_;  // a module a head
  Tensor query_weights_, key_weights_;         // a row a head
  Tensor sinks_, alibi_, relative_table_;
};

}  // namespace mica
