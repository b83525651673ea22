#include "mica/training/collators/seq2seq.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/training/collators/rows.h"

namespace mica {

DataCollatorForSeq2Seq::DataCollatorForSeq2Seq(Tokenizer tokenizer, PaddingOptions options, int64_t label_pad_token_id)
    : tokenizer_(std::move(tokenizer)), options_(options), label_pad_token_id_(label_pad_token_id) {
  check_padding(options_);
  if (options_.ragged) throw Error("ragged batches for an encoder-decoder", "data collator", "pad them");
}

ModelInputs DataCollatorForSeq2Seq::collate(std::span<const Example> rows, const BatchContext& /*context*/) const {
  ModelInputs inputs;
  add_tokens(&inputs, rows, tokenizer_, options_);
  const bool left = tokenizer_.padding_side() == Side::left;
  const std::string_view column = label_column(rows);
  if (const TokenRows labels = token_rows(rows, column); !labels.empty()) {
    inputs.labels = layout_of(labels, options_, left, column, rows).tensor(labels, label_pad_token_id_, column, rows);
  }
  if (const TokenRows ids = token_rows(rows, "decoder_input_ids"); !ids.empty()) {
    const TokenLayout layout = layout_of(ids, options_, left, "decoder_input_ids", rows);
    inputs.decoder_input_ids = layout.tensor(ids, padding_id(tokenizer_, layout), "decoder_input_ids", rows);
    inputs.decoder_attention_mask = layout.mask(token_rows(rows, "decoder_attention_mask"), rows);
  }
  add_others(
      &inputs, rows,
      {"input_ids", "token_type_ids", "attention_mask", "labels", "decoder_input_ids", "decoder_attention_mask"});
  return inputs;
}

}  // namespace mica
