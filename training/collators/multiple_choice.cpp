#include "mica/training/collators/multiple_choice.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/training/collators/rows.h"

namespace mica {
namespace {

constexpr const char* kTokenColumns[] = {"input_ids", "token_type_ids", "attention_mask"};

// One example a choice, its token columns alone.
std::vector<Example> choices_of(std::span<const Example> rows, int64_t* count) {
  std::vector<Example> choices;
  *count = -1;
  for (const Example& row : rows) {
    const int64_t here = row["input_ids"].size();
    if (*count < 0) *count = here;
    if (here != *count || here == 0) {
      throw Error("the row has " + std::to_string(here) + " choices, the first of the batch " + std::to_string(*count),
                  place(row, "input_ids"), "give every row the same number");
    }
    for (int64_t i = 0; i < here; ++i) {
      std::vector<Value::Field> fields;
      for (const char* name : kTokenColumns) {
        const Value* cell = row.find(name);
        if (cell != nullptr && !cell->is_null()) fields.emplace_back(name, cell->at(i));
      }
      choices.emplace_back(std::move(fields), row.row());
    }
  }
  return choices;
}

}  // namespace

DataCollatorForMultipleChoice::DataCollatorForMultipleChoice(Tokenizer tokenizer, PaddingOptions options)
    : tokenizer_(std::move(tokenizer)), options_(options) {
  check_padding(options_);
  if (options_.ragged) throw Error("ragged batches of choices", "data collator", "pad them");
}

ModelInputs DataCollatorForMultipleChoice::collate(std::span<const Example> rows,
                                                   const BatchContext& /*context*/) const {
  int64_t count = 0;
  const std::vector<Example> choices = choices_of(rows, &count);
  ModelInputs inputs;
  add_tokens(&inputs, choices, tokenizer_, options_);
  for (const char* name : kTokenColumns) {
    Tensor& tensor = inputs[name];
    if (tensor.defined()) tensor = tensor.reshape({static_cast<int64_t>(rows.size()), count, -1});
  }
  add_others(&inputs, rows, {"input_ids", "token_type_ids", "attention_mask"});
  return inputs;
}

}  // namespace mica
