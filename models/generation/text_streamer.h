#pragma once
// New tokens as text while they come.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/models/generation/generate.h"
#include "mica/models/generation/prompts.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {

/// The text that `ids` add to that of `prompt`: what a word begins with may depend on what stands before it.
std::string continuation(const Tokenizer& tokenizer, const std::vector<int64_t>& prompt,
                         const std::vector<int64_t>& ids, bool skip_special_tokens = true);

/// Hands on whole characters as soon as they are certain. What it gives for a row, put together, is continuation() of
/// the row's prompt and tokens.
class TextStreamer : public TokenStreamer {
 public:
  /// `sink(row, text)`; text is never empty. Rows of the same prompt are `samples` in number and stand together.
  TextStreamer(const Tokenizer& tokenizer, const Prompts& prompts,
               std::function<void(int64_t row, std::string_view text)> sink, int64_t samples = 1,
               bool skip_special_tokens = true);
  void put(int64_t row, std::span<const int64_t> tokens) override;
  void end(int64_t row) override;

 private:
  struct Row {
    DecodeStream stream;
    size_t skipped = 0;  ///< bytes of the prompt's text that are still to come
  };
  void give(int64_t row, std::string text);
  std::vector<Row> rows_;
  std::function<void(int64_t, std::string_view)> sink_;
};

}  // namespace mica
