#pragma once
// Batches of rows with several texts each, for training sentence embeddings.

#include "mica/training/collators/padding.h"

namespace mica {

/// Rows hold a list of lists: one a text, as a tokenizer's encoding of several texts gives. All texts of all rows make
/// one ragged batch, without padding: row after row, and within a row its texts in order. Labels are one a row. Every
/// row must have as many texts.
class DataCollatorForSentences : public DataCollator {
 public:
  explicit DataCollatorForSentences(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}

 private:
  ModelInputs collate(std::span<const Example> rows, const BatchContext& context) const override;

  Tokenizer tokenizer_;
};

}  // namespace mica
