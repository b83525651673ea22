#include "mica/tokenizers/batch_encoding.h"

#include <algorithm>

#include "mica/base/error.h"
#include "mica/tokenizers/engine.h"

namespace mica {
namespace {

[[noreturn]] void out_of_range(const char* what, int64_t index, int64_t bound) {
  throw Error(std::string(what) + " " + std::to_string(index) + " is out of range", "BatchEncoding",
              bound == 0 ? "the encoding is empty" : "use 0 to " + std::to_string(bound - 1));
}

}  // namespace

size_t BatchEncoding::check_row(size_t row) const {
  if (row >= size()) out_of_range("row", static_cast<int64_t>(row), static_cast<int64_t>(size()));
  return row;
}

size_t BatchEncoding::check_token(size_t row, int64_t token) const {
  const auto n = static_cast<int64_t>(input_ids[check_row(row)].size());
  if (token < 0 || token >= n) out_of_range("token", token, n);
  return static_cast<size_t>(token);
}

std::span<const CharSpan> BatchEncoding::offsets(size_t row) const {
  return offsets_[check_row(row)];
}

std::span<const int32_t> BatchEncoding::word_ids(size_t row) const {
  return word_ids_[check_row(row)];
}

std::span<const int8_t> BatchEncoding::sequence_ids(size_t row) const {
  return sequence_ids_[check_row(row)];
}

std::vector<int32_t> BatchEncoding::special_tokens_mask(size_t row) const {
  std::vector<int32_t> mask;
  for (const int8_t sequence : sequence_ids(row)) mask.push_back(sequence < 0 ? 1 : 0);
  return mask;
}

std::vector<std::string> BatchEncoding::tokens(size_t row) const {
  std::vector<std::string> all;
  for (const int32_t id : input_ids[check_row(row)]) all.emplace_back(texts_ ? texts_->text(id) : std::string_view());
  for (const OddToken& odd : odd_tokens_[row]) all.at(static_cast<size_t>(odd.index)) = odd.text;
  return all;
}

std::optional<int32_t> BatchEncoding::char_to_token(size_t row, int64_t position, int sequence) const {
  const auto spans = offsets(row);
  const auto sequences = sequence_ids(row);
  for (size_t i = 0; i < spans.size(); ++i) {
    if (sequences[i] == sequence && position >= spans[i].begin && position < spans[i].end) {
      return static_cast<int32_t>(i);
    }
  }
  return std::nullopt;
}

std::optional<CharSpan> BatchEncoding::token_to_chars(size_t row, int64_t token) const {
  const size_t i = check_token(row, token);
  if (sequence_ids_[row][i] < 0) return std::nullopt;
  return offsets_[row][i];
}

std::optional<int32_t> BatchEncoding::token_to_word(size_t row, int64_t token) const {
  const size_t i = check_token(row, token);
  if (sequence_ids_[row][i] < 0 || word_ids_[row][i] < 0) return std::nullopt;
  return word_ids_[row][i];
}

std::optional<int32_t> BatchEncoding::token_to_sequence(size_t row, int64_t token) const {
  const size_t i = check_token(row, token);
  if (sequence_ids_[row][i] < 0) return std::nullopt;
  return sequence_ids_[row][i];
}

std::optional<TokenSpan> BatchEncoding::word_to_tokens(size_t row, int64_t word, int sequence) const {
  const auto words = word_ids(row);
  const auto sequences = sequence_ids(row);
  std::optional<TokenSpan> span;
  for (size_t i = 0; i < words.size(); ++i) {
    if (sequences[i] != sequence || words[i] != word) continue;
    const auto at = static_cast<int32_t>(i);
    span = TokenSpan{span ? span->begin : at, at + 1};
  }
  return span;
}

std::optional<CharSpan> BatchEncoding::word_to_chars(size_t row, int64_t word, int sequence) const {
  const auto span = word_to_tokens(row, word, sequence);
  if (!span) return std::nullopt;
  const auto spans = offsets(row);
  return CharSpan{spans[static_cast<size_t>(span->begin)].begin, spans[static_cast<size_t>(span->end) - 1].end};
}

std::optional<int32_t> BatchEncoding::char_to_word(size_t row, int64_t position, int sequence) const {
  const auto token = char_to_token(row, position, sequence);
  return token ? token_to_word(row, *token) : std::nullopt;
}

}  // namespace mica
