#pragma once
// The encoder: embeddings, a stack of self-attention layers, perhaps a pooler. One network, told by its spec what to
// be.

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "mica/kernels/activation.h"
#include "mica/models/architectures/network.h"
#include "mica/models/config.h"
#include "mica/models/inputs.h"
#include "mica/models/modules/disentangled.h"
#include "mica/models/modules/linear.h"
#include "mica/models/modules/local_global.h"
#include "mica/models/modules/norm.h"
#include "mica/models/modules/relative_attention.h"
#include "mica/models/modules/self_attention.h"
#include "mica/models/modules/token_convolution.h"
#include "mica/models/scope.h"

namespace mica {

/// Where the norms of a layer stand.
enum class NormPlacement {
  after,   ///< h = norm(h + f(h)), as the first transformer
  before,  ///< h = h + f(norm(h)), and one more norm at the end
};

/// How a token's position is counted.
enum class PositionKind {
  from_zero,     ///< 0, 1, 2, ...
  from_padding,  ///< padding_idx + 1, ... over the tokens that are not padding, which get padding_idx
};

/// Names on disk, below the base prefix; an empty name means that the family has no such tensor.
struct EncoderNames {
  std::string word_embeddings = "embeddings.word_embeddings";
  std::string position_embeddings = "embeddings.position_embeddings";
  std::string token_type_embeddings = "embeddings.token_type_embeddings";
  std::string task_type_embeddings = "embeddings.task_type_embeddings";
  std::string embeddings_norm = "embeddings.LayerNorm";
  std::string embeddings_project = "embeddings_project";
  std::string relative_bias = "encoder.relative_attention_bias";
  std::string layer = "encoder.layer";  ///< followed by the layer's number
  std::string query = "attention.self.query";
  std::string key = "attention.self.key";
  std::string value = "attention.self.value";
  std::string attention_output = "attention.output.dense";  ///< empty: the attention projects its result itself
  std::string attention_norm = "attention.output.LayerNorm";
  std::string intermediate = "intermediate.dense";
  std::string output = "output.dense";
  std::string output_norm = "output.LayerNorm";
  std::string final_norm;  ///< of a stack with norms before
  std::string pooler = "pooler.dense";
  std::string convolution = "encoder.conv";
  std::string mask_embedding;  ///< a vector [1, 1, hidden_size]: the word in the place of a next token
};

struct EncoderSpec {
  int64_t vocab_size = 0;
  int64_t embedding_size = 0;  ///< projected to hidden_size where it differs
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t intermediate_size = 0;
  int64_t max_position_embeddings = 0;
  int64_t type_vocab_size = 0;       ///< 0: no token types
  int64_t task_type_vocab_size = 0;  ///< 0: no task types
  int64_t padding_idx = -1;          ///< the row of the word table that gets no gradient
  int64_t position_padding_idx = -1;
  PositionKind positions = PositionKind::from_zero;
  NormPlacement norms = NormPlacement::after;
  bool project_always = false;   ///< a projection also where embedding_size equals hidden_size
  int64_t relative_buckets = 0;  ///< bucketed position bias shared by all layers; 0: none
  int64_t relative_rows = 0;     ///< of its table, of which the first relative_buckets are read
  int64_t relative_max_distance = 128;
  bool causal = false;
  bool cross_attention = false;  ///< layers look at another network's states as well; see stack_of()
  /// Another kind of attention than each token with each other one.
  std::variant<std::monostate, DisentangledSpec, LocalGlobalSpec, RelativeAttentionSpec> attention;
  TokenConvolutionSpec convolution;    ///< beside the first layer
  bool norm_after_projection = false;  ///< the embeddings' norm; the projection then has no bias
  bool hides_embeddings = false;       ///< those of hidden tokens are zero
  Activation activation = Activation::gelu;
  double layer_norm_eps = 1e-12;
  double hidden_dropout = 0, attention_dropout = 0;
  double inner_dropout = 0, final_dropout = 0;  ///< inside the MLP, and of the last states
  /// What decoding keeps of each text, where there is a mask embedding: so many states of the last call's tokens, the
  /// first ones, and so many in all, the last ones; 0: no limit.
  int64_t kept_states = 0, memory = 0;
  /// Layer i uses the weights layer_names[i], so that layers may share them.
  std::vector<std::string> layer_names;
  EncoderNames names;
};

/// The spec that the keys of a BERT config give, range-checked. Where every family starts.
EncoderSpec encoder_spec(const Config& config);

struct EncoderLayer {
  LinearGroup query_key_value;
  Linear attention_output, intermediate, output;
  Norm attention_norm, output_norm;
};

struct EncoderOutput {
  Tensor hidden;  ///< [rows, hidden_size]
  std::vector<Tensor> hidden_states;
};

class Encoder : public Network {
 public:
  Encoder(const Scope& scope, EncoderSpec spec, bool with_pooler);

  EncoderOutput operator()(const Rows& rows) const;
  NetworkOutput forward(const ModelInputs& inputs, Device device, bool training) const override;
  /// tanh(dense(first token)) of each sequence, [batch, hidden_size]; throws when the encoder has no pooler.
  Tensor pool(const Tensor& hidden, const Rows& rows) const override;

  std::unique_ptr<DecodingState> start_decoding(const ModelInputs& inputs, int64_t batch, int64_t capacity,
                                                Device device) const override;
  Tensor decode(const Rows& rows, DecodingState* state) const override;

  bool has_pooler() const override { return pooler_.defined(); }
  const EncoderSpec& spec() const { return spec_; }
  const NetworkShape& shape() const override { return shape_; }
  const Tensor& word_embeddings() const override { return word_; }

 private:
  EncoderOutput run(const Rows& rows) const;
  int64_t max_tokens() const;
  Tensor embed(const Rows& rows) const;
  struct Memory;  // the decoding state
  Tensor read_on(const std::vector<int64_t>& ids, std::vector<Tensor>* memory) const;
  LayerMixer plain_attention(const Rows& rows, DType dtype) const;
  Tensor layer(size_t index, const Tensor& hidden, const Rows& rows, const LayerMixer& mix) const;

  EncoderSpec spec_;
  NetworkShape shape_;
  DType product_dtype_;
  Tensor word_, position_, token_type_, task_type_, relative_bias_, mask_embedding_;
  Norm embeddings_norm_, final_norm_;
  TokenConvolution convolution_;
  Linear project_, pooler_;
  std::vector<EncoderLayer> layers_;
  std::unique_ptr<SelfAttention> attention_;  // in place of the layers' own
  std::vector<size_t> layer_of_;              // which entry of layers_ each layer uses
};

}  // namespace mica
