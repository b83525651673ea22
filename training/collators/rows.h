#pragma once
// Internal: what collators share: the token lists of a batch's rows, and how lists become tensors.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mica/training/collators/collator.h"
#include "mica/training/collators/padding.h"

namespace mica {

/// A list a row.
using TokenRows = std::vector<std::vector<int64_t>>;

/// The column's lists of integers; empty where no row has it. Throws Error where some rows lack it.
TokenRows token_rows(std::span<const Example> rows, std::string_view column);

/// How rows are laid out: side by side at one width, or one after the other.
struct TokenLayout {
  std::vector<int64_t> lengths;  // of the rows
  int64_t width = 0;
  bool left = false;    // where padding goes
  bool ragged = false;  // no padding at all

  int64_t rows() const { return static_cast<int64_t>(lengths.size()); }
  /// [rows, width], or [sum of lengths] when ragged; each row must have its length.
  Tensor tensor(const TokenRows& values, int64_t padding, std::string_view column,
                std::span<const Example> examples) const;
  /// The attention mask of rows that may have their own.
  Tensor mask(TokenRows masks, std::span<const Example> examples) const;
};

/// The layout of these rows of a column; throws Error for an empty row when ragged, and for one beyond max_length.
TokenLayout layout_of(const TokenRows& ids, const PaddingOptions& options, bool left, std::string_view column,
                      std::span<const Example> examples);

/// What the rows' labels are called: label, label_ids or labels.
std::string_view label_column(std::span<const Example> rows);

/// The padding id; throws Error, where rows need padding and the tokenizer has none.
int64_t padding_id(const Tokenizer& tokenizer, const TokenLayout& layout);

/// input_ids, token_type_ids and attention_mask (as far as rows have them), padded.
TokenLayout add_tokens(ModelInputs* inputs, std::span<const Example> rows, const Tokenizer& tokenizer,
                       const PaddingOptions& options);

/// One example for each text of rows that hold several ("choices"), row after row, its token columns alone. Throws
/// Error for rows of unequal numbers, and for none.
std::vector<Example> texts_of_rows(std::span<const Example> rows, const char* what);

/// All columns that a model takes, but for those named, as DefaultDataCollator does.
void add_others(ModelInputs* inputs, std::span<const Example> rows, std::initializer_list<std::string_view> done);

/// Throws Error for sizes out of range, and for Padding::max_length without max_length.
void check_padding(const PaddingOptions& options);

/// "column "label" of row 17".
std::string place(const Example& example, std::string_view column);

}  // namespace mica
