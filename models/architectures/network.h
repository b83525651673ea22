#pragma once
// Network: what a head stands on, whatever the architecture: it turns a call's inputs into hidden states.

#include <cstdint>
#include <memory>
#include <vector>

#include "mica/kernels/activation.h"
#include "mica/models/inputs.h"
#include "mica/tensor/tensor.h"

namespace mica {

class DecodingState;

/// Which half of an encoder-decoder a head stands on.
enum class NetworkPart : uint8_t { whole, encoder, decoder };

/// Sizes and constants that heads ask for.
struct NetworkShape {
  int64_t vocab_size = 0;
  int64_t embedding_size = 0;
  int64_t hidden_size = 0;
  Activation activation = Activation::gelu;
  double layer_norm_eps = 1e-12;
  bool norm_bias = true;          ///< of layer norms
  int64_t padding_idx = -1;       ///< the row of the word table that gets no gradient
  double logits_scale = 1;        ///< of a language head's result
  double logits_softcap = 0;      ///< logits become cap * tanh(logits / cap); 0: none
  double hidden_scale = 1;        ///< of the hidden states, before a tied language head
  int64_t max_tokens = 0;         ///< longest input; 0: no limit
  int64_t max_target_tokens = 0;  ///< longest text of an encoder-decoder's decoder; 0: no limit
  bool causal = false;            ///< no token sees a later one
  double word_scale = 1;          ///< of a row of the word table as callers look it up, in place of ids
  /// Layers that take a prefix, with so many heads of keys of this size; 0: none does.
  int64_t prefix_layers = 0, prefix_heads = 0, prefix_head_dim = 0;
  bool encoder_decoder = false;
  double router_aux_loss_coef = 0;  ///< of load_balancing_loss in the loss of a causal language head
};

struct NetworkOutput {
  Tensor hidden;  ///< [rows, hidden_size]
  Rows rows;      ///< to which these hidden states belong: the decoder's, of an encoder-decoder
  std::vector<Tensor> hidden_states;
  Tensor load_balancing_loss;  ///< of routers, where the config asks for it
  /// Of an encoder-decoder.
  Tensor encoder_hidden;
  Rows encoder_rows;
};

class Network {
 public:
  virtual ~Network() = default;
  Network() = default;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  virtual NetworkOutput forward(const ModelInputs& inputs, Device device, bool training) const = 0;
  virtual const NetworkShape& shape() const = 0;
  /// [vocab_size, embedding_size]; a tied language head multiplies by it.
  virtual const Tensor& word_embeddings() const = 0;
  /// The table that input_ids are rows of.
  virtual const Tensor& input_embeddings() const { return word_embeddings(); }
  virtual bool has_pooler() const { return false; }
  /// One vector a sequence, [batch, hidden_size]; throws Error when the network has no pooler.
  virtual Tensor pool(const Tensor& hidden, const Rows& rows) const;
  /// The start of `batch` texts to be continued token by token, with room for `capacity` tokens each (more make it
  /// grow); null where the network can only run whole texts. An encoder-decoder reads its encoder's inputs here.
  virtual std::unique_ptr<DecodingState> start_decoding(const ModelInputs& inputs, int64_t batch, int64_t capacity,
                                                        Device device) const;
  /// Makes the state's tables for positions up to `positions`: decode() then takes rows whose input_ids and
  /// position_ids lie on the device, one token a text, and reads nothing of the host. False where the network cannot.
  virtual bool prepare_steps(DecodingState* state, int64_t positions, Device device) const;
  /// Hidden states [rows, hidden_size] of new tokens, which the state remembers.
  virtual Tensor decode(const Rows& rows, DecodingState* state) const;
};

/// values [rows, size] as per-token results: [batch, tokens, size], or [rows, size] of a ragged batch.
Tensor per_token(const Tensor& values, const Rows& rows);

/// The first row of each sequence of hidden [rows, size]: [batch, size]. Throws Error for an empty sequence.
Tensor first_rows(const Tensor& hidden, const Rows& rows);

}  // namespace mica
