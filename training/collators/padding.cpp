#include "mica/training/collators/padding.h"

#include <algorithm>
#include <numeric>

#include "mica/base/checked.h"
#include "mica/base/error.h"
#include "mica/training/collators/rows.h"

namespace mica {

std::string place(const Example& example, std::string_view column) {
  return ValueOrigin{std::make_shared<const std::string>(column), example.row()}.text();
}

TokenRows token_rows(std::span<const Example> rows, std::string_view column) {
  const auto missing = [&](const Example& each) {
    const Value* cell = each.find(column);
    return cell == nullptr || cell->is_null();
  };
  TokenRows result;
  if (std::all_of(rows.begin(), rows.end(), missing)) return result;
  for (const Example& each : rows) {
    if (missing(each)) {
      throw Error("the row has no " + std::string(column) + ", others of the batch have", place(each, column),
                  "tokenise all rows alike");
    }
    const std::span<const int64_t> ids = each[column].as_ints();
    result.emplace_back(ids.begin(), ids.end());
  }
  return result;
}

Tensor TokenLayout::tensor(const TokenRows& values, int64_t padding, std::string_view column,
                           std::span<const Example> examples) const {
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  const Tensor result = ragged ? Tensor::empty({total}, DType::int64) : Tensor::empty({rows(), width}, DType::int64);
  auto* out = result.data<int64_t>();
  for (size_t i = 0; i < values.size(); ++i) {
    const std::vector<int64_t>& row = values[i];
    if (static_cast<int64_t>(row.size()) != lengths[i]) {
      throw Error("the row has " + std::to_string(row.size()) + " " + std::string(column) + ", but " +
                      std::to_string(lengths[i]) + " tokens",
                  place(examples[i], column), "give one for each token");
    }
    const int64_t space = ragged ? 0 : width - lengths[i];
    if (left) out = std::fill_n(out, space, padding);
    out = std::copy(row.begin(), row.end(), out);
    if (!left) out = std::fill_n(out, space, padding);
  }
  return result;
}

Tensor TokenLayout::mask(TokenRows masks, std::span<const Example> examples) const {
  if (masks.empty()) {
    for (const int64_t length : lengths) masks.emplace_back(static_cast<size_t>(length), 1);
  }
  return tensor(masks, 0, "attention_mask", examples);
}

std::string_view label_column(std::span<const Example> rows) {
  for (const char* name : {"label", "label_ids"}) {
    if (rows.front().has(name)) return name;
  }
  return "labels";
}

TokenLayout layout_of(const TokenRows& ids, const PaddingOptions& options, bool left, std::string_view column,
                      std::span<const Example> examples) {
  TokenLayout layout;
  layout.left = left;
  layout.ragged = options.ragged;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto length = static_cast<int64_t>(ids[i].size());
    if (options.max_length && length > *options.max_length) {
      throw Error("a sequence of " + std::to_string(length) + " tokens, beyond max_length " +
                      std::to_string(*options.max_length),
                  place(examples[i], column), "tokenise with truncation, or raise max_length");
    }
    if (length == 0 && options.ragged) {
      throw Error("a sequence without tokens", place(examples[i], column), "filter such rows out");
    }
    layout.lengths.push_back(length);
    layout.width = std::max(layout.width, length);
  }
  if (static_cast<Padding>(options.padding) == Padding::max_length) layout.width = *options.max_length;
  if (options.pad_to_multiple_of) {
    const int64_t multiple = *options.pad_to_multiple_of;
    layout.width = checked_mul((layout.width + multiple - 1) / multiple, multiple, "pad_to_multiple_of");
  }
  if (layout.width == 0) throw Error("a batch without tokens", place(examples[0], column), "filter such rows out");
  if (!options.ragged && static_cast<Padding>(options.padding) == Padding::none) {
    for (size_t i = 0; i < ids.size(); ++i) {
      if (layout.lengths[i] != layout.width) {
        throw Error("rows of unequal lengths without padding", place(examples[i], column),
                    "choose Padding::longest, or ragged batches");
      }
    }
  }
  return layout;
}

int64_t padding_id(const Tokenizer& tokenizer, const TokenLayout& layout) {
  if (const std::optional<int32_t> id = tokenizer.pad_token_id()) return *id;
  const auto fills = [&](int64_t length) { return length == layout.width; };
  if (layout.ragged || std::all_of(layout.lengths.begin(), layout.lengths.end(), fills)) return 0;
  throw Error("the tokenizer has no padding token", "data collator",
              "name one: tokenizer.add_special_tokens({.pad_token = ...}), or use ragged batches");
}

TokenLayout add_tokens(ModelInputs* inputs, std::span<const Example> rows, const Tokenizer& tokenizer,
                       const PaddingOptions& options) {
  const TokenRows ids = token_rows(rows, "input_ids");
  if (ids.empty()) {
    throw Error("the row is not tokenised: it has no input_ids", place(rows.front(), "input_ids"),
                "map() the data set through the tokenizer first");
  }
  const TokenLayout layout = layout_of(ids, options, tokenizer.padding_side() == Side::left, "input_ids", rows);
  inputs->input_ids = layout.tensor(ids, padding_id(tokenizer, layout), "input_ids", rows);
  const TokenRows types = token_rows(rows, "token_type_ids");
  if (!types.empty()) {
    inputs->token_type_ids = layout.tensor(types, tokenizer.pad_token_type_id(), "token_type_ids", rows);
  }
  const TokenRows masks = token_rows(rows, "attention_mask");
  if (layout.ragged) inputs->lengths = layout.lengths;
  if (!layout.ragged || !masks.empty()) inputs->attention_mask = layout.mask(masks, rows);
  return layout;
}

std::vector<Example> texts_of_rows(std::span<const Example> rows, const char* what) {
  static constexpr const char* kTokenColumns[] = {"input_ids", "token_type_ids", "attention_mask"};
  std::vector<Example> texts;
  int64_t count = -1;
  for (const Example& row : rows) {
    const int64_t here = row["input_ids"].size();
    if (count < 0) count = here;
    if (here != count || here == 0) {
      throw Error(
          "the row has " + std::to_string(here) + " " + what + ", the first of the batch " + std::to_string(count),
          place(row, "input_ids"), "give every row the same number");
    }
    for (int64_t i = 0; i < here; ++i) {
      std::vector<Value::Field> fields;
      for (const char* name : kTokenColumns) {
        const Value* cell = row.find(name);
        if (cell != nullptr && !cell->is_null()) fields.emplace_back(name, cell->at(i));
      }
      texts.emplace_back(std::move(fields), row.row());
    }
  }
  return texts;
}

DataCollatorWithPadding::DataCollatorWithPadding(Tokenizer tokenizer, PaddingOptions options)
    : tokenizer_(std::move(tokenizer)), options_(options) {
  check_padding(options_);
}

void check_padding(const PaddingOptions& options) {
  const auto positive = [](const std::optional<int64_t>& value, const char* name) {
    if (value && (*value < 1 || *value > int64_t{1} << 30)) {
      throw Error(std::string(name) + " is " + std::to_string(*value), "data collator", "give a number of tokens");
    }
  };
  positive(options.max_length, "max_length");
  positive(options.pad_to_multiple_of, "pad_to_multiple_of");
  if (static_cast<Padding>(options.padding) == Padding::max_length && !options.max_length) {
    throw Error("padding to max_length without max_length", "data collator", "give max_length, or Padding::longest");
  }
}

ModelInputs DataCollatorWithPadding::collate(std::span<const Example> rows, const BatchContext& /*context*/) const {
  ModelInputs inputs;
  add_tokens(&inputs, rows, tokenizer_, options_);
  add_others(&inputs, rows, {"input_ids", "token_type_ids", "attention_mask"});
  return inputs;
}

}  // namespace mica
