#pragma once
// Batches for encoder-decoders.

#include "mica/training/collators/padding.h"

namespace mica {

/// As DataCollatorWithPadding; `labels`, the ids of the target, are padded to their own longest row (rounded up by
/// pad_to_multiple_of; to max_length with Padding::max_length) with a label that the loss leaves out. The decoder reads
/// the labels shifted to the right, which the model does, unless rows hold decoder_input_ids: those are padded as ids
/// are, with decoder_attention_mask. There is no ragged form: models read one list of lengths alone.
class DataCollatorForSeq2Seq : public DataCollator {
 public:
  explicit DataCollatorForSeq2Seq(Tokenizer tokenizer, PaddingOptions options = {}, int64_t label_pad_token_id = -100);

 private:
  ModelInputs collate(std::span<const Example> rows, const BatchContext& context) const override;

  Tokenizer tokenizer_;
  PaddingOptions options_;
  int64_t label_pad_token_id_;
};

}  // namespace mica
