#pragma once
// Batches of tokenised rows of unequal lengths.

#include <cstdint>
#include <optional>

#include "mica/tokenizers/tokenizer.h"
#include "mica/training/collators/collator.h"

namespace mica {

struct PaddingOptions {
  /// Padding::longest, to the longest row of the batch, or Padding::max_length.
  PaddingChoice padding = Padding::longest;
  std::optional<int64_t> max_length = {};  ///< tokens; for Padding::max_length, else a limit that rows must keep
  std::optional<int64_t> pad_to_multiple_of = {};  ///< rounds the length up
  /// No padding at all: the rows one after the other, and ModelInputs::lengths. Rows of one token at least.
  bool ragged = false;
};

/// Pads input_ids, token_type_ids and attention_mask with the tokenizer's padding, on its side. A row without an
/// attention_mask is visible as a whole. All other columns as DefaultDataCollator.
class DataCollatorWithPadding : public DataCollator {
 public:
  explicit DataCollatorWithPadding(Tokenizer tokenizer, PaddingOptions options = {});

 private:
  ModelInputs collate(std::span<const Example> rows, const BatchContext& context) const override;

  Tokenizer tokenizer_;
  PaddingOptions options_;
};

}  // namespace mica
