#pragma once
// What the tests of data sets share.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/support/tiny_model.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/training/dataset/dataset.h"

namespace mica::datasets {

inline std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// That the call throws an Error whose message holds `part`.
#define EXPECT_ERROR(call, part) \
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, part, mica::datasets::message_of([&] { call; }))

inline std::vector<Example> rows_of(const Dataset& dataset) {
  std::vector<Example> rows;
  for (int64_t i = 0; i < dataset.size(); ++i) rows.push_back(dataset[i]);
  return rows;
}

/// The tokenizer of tiny models: WordPiece with BERT's special tokens.
class WithTokenizer : public testing::Test {
 protected:
  WithTokenizer() {
    tiny::write_bert(folder_.path(), "sequence_classification");
    tokenizer_.emplace(AutoTokenizer::from_pretrained(folder_.path()));
  }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  int64_t pad() const { return *tokenizer().pad_token_id(); }

 private:
  tiny::TemporaryFolder folder_;
  std::optional<Tokenizer> tokenizer_;
};

}  // namespace mica::datasets
