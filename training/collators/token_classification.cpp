#include "mica/training/collators/token_classification.h"

#include <utility>

#include "mica/training/collators/rows.h"

namespace mica {

DataCollatorForTokenClassification::DataCollatorForTokenClassification(Tokenizer tokenizer, PaddingOptions options,
                                                                       int64_t label_pad_token_id)
    : tokenizer_(std::move(tokenizer)), options_(options), label_pad_token_id_(label_pad_token_id) {
  check_padding(options_);
}

ModelInputs DataCollatorForTokenClassification::collate(std::span<const Example> rows,
                                                        const BatchContext& /*context*/) const {
  ModelInputs inputs;
  const TokenLayout layout = add_tokens(&inputs, rows, tokenizer_, options_);
  const std::string_view column = label_column(rows);
  if (const TokenRows labels = token_rows(rows, column); !labels.empty()) {
    inputs.labels = layout.tensor(labels, label_pad_token_id_, column, rows);
  }
  add_others(&inputs, rows, {"input_ids", "token_type_ids", "attention_mask", "labels"});
  return inputs;
}

}  // namespace mica
