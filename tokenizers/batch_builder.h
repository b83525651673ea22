#pragma once
// Puts encoded texts together to the rows of a BatchEncoding: truncation, special tokens, padding.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mica/tokenizers/batch_encoding.h"
#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/token_list.h"
#include "mica/tokenizers/windows.h"

namespace mica {

/// TokenizerOptions with every default filled in.
struct CallPlan {
  TruncationPlan truncation;  ///< max_length with special tokens
  bool overflow = false;
  bool add_special_tokens = true;
  bool split_special_tokens = false;
  bool type_ids = true;
  bool attention_mask = true;
  Padding padding = Padding::none;
  int64_t pad_length = 0;  ///< for Padding::max_length
  int64_t pad_multiple = 1;
  Side padding_side = Side::right;
  int32_t pad_id = 0;
  int32_t pad_type_id = 0;
};

class BatchBuilder {
 public:
  BatchBuilder(std::shared_ptr<const Engine> engine, const CallPlan& plan);

  /// Makes room for the tokens of texts of so many bytes.
  void reserve(size_t texts, size_t bytes);
  /// Encodes one text with `encode` (a call that appends to a TokenList) and appends its rows.
  template <typename Encode>
  void add_text(const Encode& encode, TokenList& scratch, int64_t sample);
  /// Appends the rows of one text, or of a text and its pair (null: none).
  void add(TokenList& text, TokenList* pair, int64_t sample);
  /// The rows of all, in order; on several threads.
  static BatchBuilder join(std::vector<BatchBuilder>& parts);
  BatchEncoding finish() &&;

  static void pad(BatchEncoding& encoding, const CallPlan& plan);

 private:
  bool encodes_in_place() const;
  void begin_in_place(TokenList& tokens);
  bool end_in_place(TokenList& tokens, int64_t sample);
  void end_row();
  void append_special(const TemplatePiece& piece, size_t row_begin);
  /// A window, and what its first token covers: trimming keeps a space there that it would take from others.
  struct Part {
    Window window = {0, 0};
    bool later = false;  ///< not the first window of its text
    CharSpan first = {};
  };
  CharSpan trimmed(const TokenList& tokens, size_t i, CharSpan place, bool first, bool add_prefix_space) const;
  void trim_offsets(TokenList& tokens, std::vector<Part>& parts) const;
  void append_row(const std::vector<TemplatePiece>& pieces, TokenList* const (&texts)[2],
                  const Part* const (&parts)[2]);

  std::shared_ptr<const Engine> engine_;
  CallPlan plan_;
  BatchEncoding out_;
  // The row that is being encoded in place: where it begins, and where the text's tokens do.
  size_t row_begin_ = 0, text_begin_ = 0;
  std::vector<BatchEncoding::OddToken> row_odd_;
};

template <typename Encode>
void BatchBuilder::add_text(const Encode& encode, TokenList& scratch, int64_t sample) {
  scratch.clear();
  if (!encodes_in_place()) {
    encode(scratch);
    add(scratch, nullptr, sample);
    return;
  }
  begin_in_place(scratch);
  encode(scratch);
  if (!end_in_place(scratch, sample)) add(scratch, nullptr, sample);
}

}  // namespace mica
