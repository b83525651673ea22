#include "mica/models/generation/text_streamer.h"

#include <algorithm>

namespace mica {
namespace {

// Text of a prompt that no later token changes: not the mark of a character whose bytes are not all there.
std::string settled(std::string text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  while (text.ends_with(kReplacement)) text.resize(text.size() - kReplacement.size());
  return text;
}

}  // namespace

std::string continuation(const Tokenizer& tokenizer, const std::vector<int64_t>& prompt,
                         const std::vector<int64_t>& ids, bool skip_special_tokens) {
  const DecodeOptions options{.skip_special_tokens = skip_special_tokens};
  std::vector<int64_t> all = prompt;
  all.insert(all.end(), ids.begin(), ids.end());
  const std::string before = settled(tokenizer.decode(prompt, options));
  const std::string text = tokenizer.decode(all, options);
  return text.substr(std::min(text.size(), before.size()));
}

TextStreamer::TextStreamer(const Tokenizer& tokenizer, const Prompts& prompts,
                           std::function<void(int64_t, std::string_view)> sink, int64_t samples,
                           bool skip_special_tokens)
    : sink_(std::move(sink)) {
  const DecodeOptions options{.skip_special_tokens = skip_special_tokens};
  for (const std::vector<int64_t>& prompt : prompts) {
    const size_t whole = settled(tokenizer.decode(prompt, options)).size();
    for (int64_t i = 0; i < samples; ++i) {
      Row& row = rows_.emplace_back(Row{tokenizer.decode_stream(options), 0});
      size_t given = 0;
      for (const int64_t id : prompt) given += row.stream.step(id).size();
      row.skipped = whole - std::min(whole, given);
    }
  }
}

void TextStreamer::give(int64_t row, std::string text) {
  size_t& skipped = rows_[static_cast<size_t>(row)].skipped;
  const size_t cut = std::min(skipped, text.size());
  skipped -= cut;
  if (text.size() > cut) sink_(row, std::string_view(text).substr(cut));
}

void TextStreamer::put(int64_t row, std::span<const int64_t> tokens) {
  for (const int64_t token : tokens) give(row, rows_[static_cast<size_t>(row)].stream.step(token));
}

void TextStreamer::end(int64_t row) {
  give(row, rows_[static_cast<size_t>(row)].stream.finish());
}

}  // namespace mica
