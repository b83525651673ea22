#pragma once
// The decoder: one stack that predicts the next token, or, where its spec says so, reads both ways.

#include <memory>
#include <string>

#include "mica/models/architectures/stack.h"

namespace mica {

/// The spec that the keys of a decoder's config give (hidden_size, num_hidden_layers, num_attention_heads,
/// num_key_value_heads, head_dim, intermediate_size, hidden_act, ...), range-checked: Llama's network, where most
/// decoders start. Norms, rotary positions (with `rotary`) and the layers are filled in.
StackSpec decoder_spec(const Config& config, bool rotary = true);

/// The same for a network that reads both ways.
StackSpec reader_spec(const Config& config);

/// A sliding window for the layers whose entry in layer_types says so; the others see everything. `window`: as wide as
/// that; otherwise (0) as the config's sliding_window says.
void apply_layer_types(const Config& config, StackSpec* spec, int64_t window = 0);

/// sliding_window, where the config has one, for every layer.
void set_window(const Config& config, StackSpec* spec);

/// The experts that a config describes (their number under `count_key`, num_experts_per_tok, and, where given,
/// moe_intermediate_size and norm_topk_prob), gated MLPs with the config's activation.
ExpertsSpec experts_spec(const Config& config, const char* count_key);
/// What output_router_logits and router_aux_loss_coef say.
void balance_routers(const Config& config, StackSpec* spec);

/// Experts in every decoder_sparse_step-th layer but those of mlp_only_layers.
void add_sparse_layers(const Config& config, const char* count_key, StackSpec* spec);

class StackNetwork : public Network {
 public:
  /// `shared_words`: the word table of another stack in place of one of its own.
  StackNetwork(const Scope& scope, StackSpec spec, bool with_pooler, const Tensor& shared_words = {});

  NetworkOutput forward(const ModelInputs& inputs, Device device, bool training) const override;
  const NetworkShape& shape() const override { return shape_; }
  const Tensor& word_embeddings() const override { return stack_.words(); }
  bool has_pooler() const override { return pooler_.defined(); }
  /// tanh(dense(first token)) of each sequence.
  Tensor pool(const Tensor& hidden, const Rows& rows) const override;
  std::unique_ptr<DecodingState> start_decoding(const ModelInputs& inputs, int64_t batch, int64_t capacity,
                                                Device device) const override;
  bool prepare_steps(DecodingState* state, int64_t positions, Device device) const override;
  Tensor decode(const Rows& rows, DecodingState* state) const override;

 private:
  Stack stack_;
  Linear pooler_;
  NetworkShape shape_;
};

/// What heads ask of a network of this spec.
NetworkShape shape_of(const StackSpec& spec);

}  // namespace mica
