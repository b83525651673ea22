#pragma once
// Batches of questions with several answers each.

#include "mica/training/collators/padding.h"

namespace mica {

/// Rows hold a list of lists: one a choice, as a tokenizer's encoding of several texts gives. All choices of all rows
/// are padded to one length, [batch, choices, tokens]; the label is the number of the right choice. Every row must have
/// as many choices. There is no ragged form: models tell choices apart by their dimension.
class DataCollatorForMultipleChoice : public DataCollator {
 public:
  explicit DataCollatorForMultipleChoice(Tokenizer tokenizer, PaddingOptions options = {});

 private:
  ModelInputs collate(std::span<const Example> rows, const BatchContext& context) const override;

  Tokenizer tokenizer_;
  PaddingOptions options_;
};

}  // namespace mica
