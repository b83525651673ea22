#pragma once
// What goes into a model and what comes out, under the reference's names.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/autograd/attention.h"
#include "mica/models/prefix.h"
#include "mica/tensor/tensor.h"

namespace mica {

/// Arguments of a forward call. Either a padded batch (input_ids [batch, tokens] with an attention_mask), or a ragged
/// one (`lengths` given, input_ids [sum of lengths]), which computes nothing for padding: per-token outputs then are
/// [sum of lengths, ...], per-sequence outputs the same as ever.
struct ModelInputs {
  Tensor input_ids;       ///< int64 [batch, tokens]; [batch, choices, tokens] for multiple choice
  Tensor attention_mask;  ///< int64 or bool like input_ids: 0 hides a token; all visible when undefined
  Tensor token_type_ids;  ///< int64 like input_ids; zeros when undefined
  Tensor position_ids;    ///< int64 like input_ids; by the family's rule when undefined
  Tensor task_type_ids;   ///< int64 like input_ids (ernie with use_task_id); zeros when undefined
  Tensor inputs_embeds;   ///< [batch, tokens, embedding_size] in place of input_ids
  /// int64 or bool like input_ids: 1 for tokens that see, and are seen by, all others (models with sliding windows); by
  /// the task's rule when undefined.
  Tensor global_attention_mask;
  std::vector<int64_t> lengths;

  // Of an encoder-decoder; where they are missing the decoder reads the labels (or, without those and where the family
  // does so, the input) shifted to the right.
  Tensor decoder_input_ids;       ///< int64 [batch, decoder tokens]
  Tensor decoder_attention_mask;  ///< likewise: 0 hides a token
  Tensor decoder_inputs_embeds;   ///< [batch, decoder tokens, embedding_size] in place of decoder_input_ids

  /// Of the task's usual shape, [sum of lengths] for the tokens of a ragged batch; makes the call return a loss.
  Tensor labels;
  Tensor start_positions;       ///< int64 [batch]
  Tensor end_positions;         ///< int64 [batch]
  Tensor next_sentence_label;   ///< int64 [batch]
  Tensor sentence_order_label;  ///< int64 [batch]

  bool output_hidden_states = false;
  /// With labels: the loss is all that is wanted. A language head then computes logits only of tokens that have a
  /// label, and gives none.
  bool loss_only = false;
  /// Not negative: the first so many tokens see each other, every later one itself and what is before it.
  int64_t prefix_length = -1;
  /// Keys and values before every text's own (of an encoder-decoder, before its decoder's), whose positions they take.
  std::shared_ptr<const PrefixStates> prefix;

  /// The tensor of that name ("input_ids", ...); throws Error for a name that no model here takes.
  Tensor& operator[](std::string_view name);
  static const std::vector<std::string>& names();
};

/// Results; what a head doesn't give stays undefined.
struct ModelOutput {
  Tensor loss;
  Tensor aux_loss;  ///< of routers that spread tokens unevenly, where the config says output_router_logits; float32
  Tensor logits;
  Tensor prediction_logits;        ///< of pre-training heads: [batch, tokens, vocab]
  Tensor seq_relationship_logits;  ///< [batch, 2]
  Tensor sop_logits;               ///< [batch, 2]
  Tensor start_logits, end_logits;
  Tensor last_hidden_state;          ///< [batch, tokens, hidden]
  Tensor pooler_output;              ///< [batch, hidden]
  Tensor encoder_last_hidden_state;  ///< [batch, encoder tokens, hidden], of an encoder-decoder
  std::vector<Tensor> hidden_states;

  /// The defined ones under their public names.
  std::vector<std::pair<std::string, Tensor>> named() const;
};

/// A forward call's inputs, checked, as rows: what architectures work on. What positions and masks are made from stays
/// in the host's memory, whatever the device: look-ups check ids there and move them.
struct Rows {
  Tensor input_ids, token_type_ids, position_ids, task_type_ids;  ///< int64 [rows], each may be undefined
  Tensor inputs_embeds;                                           ///< [rows, embedding_size], on the device
  Tensor shown;                                                   ///< bool [rows]; undefined: all visible
  Tensor key_mask;                                                ///< the same on the device
  Tensor global_mask;                                             ///< bool [rows]; undefined: not given
  SequenceOffsets offsets;
  Shape tokens_shape;  ///< of per-token results: [batch, tokens], or [rows] when ragged
  bool training = false;
  bool output_hidden_states = false;
  int64_t prefix_length = -1;
  std::shared_ptr<const PrefixStates> prefix;  ///< null: none
  Device device;

  /// The position of each sequence's first row.
  int64_t first_position() const { return prefix != nullptr ? prefix->length : 0; }

  int64_t rows() const { return offsets.rows(); }
  /// The sequences [first, last) alone.
  Rows sequences(int64_t first, int64_t last) const;
  int64_t batch() const { return offsets.count(); }
};

/// Checks shapes, dtypes and the mask, and lays the batch out as rows. Extra leading dimensions (choices) are folded
/// into the batch.
Rows to_rows(const ModelInputs& inputs, Device device);

}  // namespace mica
