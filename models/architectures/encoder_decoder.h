#pragma once
// The encoder-decoder: one stack reads the input, another one writes, looking at what the first made of it.

#include <memory>
#include <string>

#include "mica/models/architectures/stack.h"
#include "mica/models/config.h"

namespace mica {

/// How the decoder gets its input from the labels.
struct ShiftSpec {
  int64_t decoder_start_token_id = -1;
  int64_t pad_token_id = -1;
  bool hides_padding = false;  ///< of shifted labels
  /// What is shifted to the right starts with its own last token (a language code) in place of decoder_start_token_id.
  bool wraps = false;
  /// Without decoder_input_ids and labels the decoder reads the encoder's input, shifted.
  bool decoder_reads_input = false;
};

struct EncoderDecoderSpec : ShiftSpec {
  StackSpec encoder, decoder;
  /// The word table that both stacks read; empty: each has one of its own.
  std::string shared = "shared";
  /// The stacks' tables are copies of the shared one; otherwise tables of their own, and the shared one stays unused.
  bool ties_tables = true;
};

/// Two networks of any families.
struct PairSpec {
  Config encoder, decoder;  ///< each with its model_type
  ShiftSpec shift;
  std::string bridge = "enc_to_dec_proj";  ///< where their hidden sizes differ
};

/// What each stack reads its words from; undefined: it makes a table of its own.
struct WordTables {
  Tensor encoder, decoder;
};

class EncoderDecoder : public Network {
 public:
  EncoderDecoder(const Scope& scope, const EncoderDecoderSpec& spec);
  /// Of two networks. `bridge`: projects the encoder's states to the decoder's size; may be undefined.
  EncoderDecoder(std::unique_ptr<Network> encoder, Linear bridge, Stack decoder, const ShiftSpec& shift);

  NetworkOutput forward(const ModelInputs& inputs, Device device, bool training) const override;
  const NetworkShape& shape() const override { return shape_; }
  const Tensor& word_embeddings() const override { return decoder_.words(); }
  const Tensor& input_embeddings() const override { return encoder_->word_embeddings(); }
  std::unique_ptr<DecodingState> start_decoding(const ModelInputs& inputs, int64_t batch, int64_t capacity,
                                                Device device) const override;
  Tensor decode(const Rows& rows, DecodingState* state) const override;

 private:
  EncoderDecoder(const Scope& scope, const EncoderDecoderSpec& spec, const WordTables& words);
  /// ids [batch, tokens], one place to the right.
  Tensor shifted(const Tensor& ids) const;
  ModelInputs decoder_inputs(const ModelInputs& inputs) const;

  CrossStates cross_states(const NetworkOutput& encoded) const;

  ShiftSpec spec_;
  std::unique_ptr<Network> encoder_;
  Linear bridge_;
  Stack decoder_;
  NetworkShape shape_;
};

/// One half of an encoder-decoder as a network of its own: the encoder for heads on its states, the decoder for causal
/// language modelling.
std::unique_ptr<Network> encoder_half(const Scope& scope, EncoderDecoderSpec spec);
std::unique_ptr<Network> decoder_half(const Scope& scope, EncoderDecoderSpec spec);

}  // namespace mica
