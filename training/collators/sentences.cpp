#include "mica/training/collators/sentences.h"

#include "mica/training/collators/rows.h"

namespace mica {

ModelInputs DataCollatorForSentences::collate(std::span<const Example> rows, const BatchContext& /*context*/) const {
  const std::vector<Example> texts = texts_of_rows(rows, "texts");
  ModelInputs inputs;
  add_tokens(&inputs, texts, tokenizer_, PaddingOptions{.ragged = true});
  inputs.attention_mask = {};  // nothing is hidden
  add_others(&inputs, rows, {"input_ids", "token_type_ids", "attention_mask"});
  return inputs;
}

}  // namespace mica
