#include "mica/training/collators/multiple_choice.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/training/collators/rows.h"

namespace mica {

DataCollatorForMultipleChoice::DataCollatorForMultipleChoice(Tokenizer tokenizer, PaddingOptions options)
    : tokenizer_(std::move(tokenizer)), options_(options) {
  check_padding(options_);
  if (options_.ragged) throw Error("ragged batches of choices", "data collator", "pad them");
}

ModelInputs DataCollatorForMultipleChoice::collate(std::span<const Example> rows,
                                                   const BatchContext& /*context*/) const {
  const std::vector<Example> choices = texts_of_rows(rows, "choices");
  const auto count = static_cast<int64_t>(rows.size());
  ModelInputs inputs;
  add_tokens(&inputs, choices, tokenizer_, options_);
  for (Tensor* tensor : {&inputs.input_ids, &inputs.token_type_ids, &inputs.attention_mask}) {
    if (tensor->defined()) *tensor = tensor->reshape({count, static_cast<int64_t>(choices.size()) / count, -1});
  }
  add_others(&inputs, rows, {"input_ids", "token_type_ids", "attention_mask"});
  return inputs;
}

}  // namespace mica
