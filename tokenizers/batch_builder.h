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

  /// Appends the rows of one text, or of a text and its pair (null: none).
  void add(TokenList& text, TokenList* pair, int64_t sample);
  void append(BatchBuilder&& other);
  BatchEncoding finish() &&;

  static void pad(BatchEncoding& encoding, const CallPlan& plan);

 private:
  struct Row;
  void trim_offsets(TokenList& tokens) const;
  void append_row(const std::vector<TemplatePiece>& pieces, TokenList* const (&texts)[2], const Window (&windows)[2],
                  bool overflowing);

  std::shared_ptr<const Engine> engine_;
  CallPlan plan_;
  BatchEncoding out_;
};

}  // namespace mica
