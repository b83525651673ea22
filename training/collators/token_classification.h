#pragma once
// Batches in which every token has a label.

#include "mica/training/collators/padding.h"

namespace mica {

/// As DataCollatorWithPadding; `labels` (or `label`), one for each token, are padded too, with a label that the loss
/// leaves out.
class DataCollatorForTokenClassification : public DataCollator {
 public:
  explicit DataCollatorForTokenClassification(Tokenizer tokenizer, PaddingOptions options = {},
                                              int64_t label_pad_token_id = -100);

 private:
  ModelInputs collate(std::span<const Example> rows, const BatchContext& context) const override;

  Tokenizer tokenizer_;
  PaddingOptions options_;
  int64_t label_pad_token_id_;
};

}  // namespace mica
