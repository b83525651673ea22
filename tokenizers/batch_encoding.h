#pragma once
// What a tokenizer returns: the ids of one or more texts, and how each token relates to its text.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mica/base/pages.h"

namespace mica {

namespace tokenizer_detail {
struct TokenTexts;
}

/// A range of characters of a text, in Unicode code points: [begin, end).
struct CharSpan {
  int32_t begin = 0;
  int32_t end = 0;
  friend bool operator==(const CharSpan&, const CharSpan&) = default;
};

/// A range of tokens of one row: [begin, end).
struct TokenSpan {
  int32_t begin = 0;
  int32_t end = 0;
  friend bool operator==(const TokenSpan&, const TokenSpan&) = default;
};

/// Rows of unequal length kept in one block of memory: `rows[i][j]`. A padded batch is a dense matrix in `values()`.
template <typename T>
class Ragged {
 public:
  using Row = std::span<const T>;

  class Iterator {
   public:
    using value_type = Row;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(const Ragged* rows, size_t index) : rows_(rows), index_(index) {}
    Row operator*() const { return (*rows_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++index_;
      return before;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const Ragged* rows_ = nullptr;
    size_t index_ = 0;
  };

  size_t size() const { return ends_.size(); }
  bool empty() const { return ends_.empty(); }
  Row operator[](size_t row) const { return Row(values_).subspan(begin_of(row), ends_[row] - begin_of(row)); }
  std::span<T> mutable_row(size_t row) {
    return std::span<T>(values_).subspan(begin_of(row), ends_[row] - begin_of(row));
  }
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }

  /// All rows, one after the other.
  const BlockVector<T>& values() const { return values_; }
  BlockVector<T>& values() { return values_; }
  /// The longest row's length.
  size_t max_length() const {
    size_t longest = 0;
    for (size_t i = 0; i < size(); ++i) longest = longest < (*this)[i].size() ? (*this)[i].size() : longest;
    return longest;
  }

  void append(Row row) {
    values_.insert(values_.end(), row.begin(), row.end());
    ends_.push_back(values_.size());
  }
  /// Makes a row of what was appended to `values()` since the last row ended.
  void end_row() { ends_.push_back(values_.size()); }
  void append(const Ragged& other) {
    const size_t base = values_.size();
    values_.insert(values_.end(), other.values_.begin(), other.values_.end());
    for (const size_t end : other.ends_) ends_.push_back(base + end);
  }
  std::vector<std::vector<T>> to_vectors() const {
    std::vector<std::vector<T>> all;
    for (const Row row : *this) all.emplace_back(row.begin(), row.end());
    return all;
  }
  friend bool operator==(const Ragged&, const Ragged&) = default;

 private:
  size_t begin_of(size_t row) const { return row == 0 ? 0 : ends_[row - 1]; }
  BlockVector<T> values_;
  std::vector<size_t> ends_;
};

/// One row per text; with return_overflowing_tokens one row per window, and `overflow_to_sample_mapping` names each
/// row's text. A single text is a batch of one: the row argument of the methods below defaults to it.
///
/// Offsets and character positions are Unicode code points of the text (of the word, for words that came already
/// split). Methods throw mica::Error when a row or token index is out of range; a position that belongs to no token is
/// an empty optional.
class BatchEncoding {
 public:
  Ragged<int32_t> input_ids;
  Ragged<int32_t> token_type_ids;  ///< empty when the model takes none (see Tokenizer::model_input_names)
  Ragged<int32_t> attention_mask;  ///< 1: a token; 0: padding; empty when not asked for
  std::vector<int32_t> overflow_to_sample_mapping;  ///< empty unless return_overflowing_tokens

  /// Number of rows.
  size_t size() const { return input_ids.size(); }

  /// The range of text each token stands for; {0, 0} for special tokens and padding.
  std::span<const CharSpan> offsets(size_t row = 0) const;
  /// The number of the word each token belongs to within its text, -1 for special tokens and padding.
  std::span<const int32_t> word_ids(size_t row = 0) const;
  /// 0: the token is of the text, 1: of the pair, -1: a special token or padding.
  std::span<const int8_t> sequence_ids(size_t row = 0) const;
  /// 1 for tokens that the post-processor or padding added, 0 for those of the text.
  std::vector<int32_t> special_tokens_mask(size_t row = 0) const;
  std::vector<std::string> tokens(size_t row = 0) const;

  /// The token that covers a character of the text (sequence 0) or of the pair (sequence 1).
  std::optional<int32_t> char_to_token(size_t row, int64_t position, int sequence = 0) const;
  std::optional<int32_t> char_to_token(int64_t position) const { return char_to_token(0, position); }
  std::optional<CharSpan> token_to_chars(size_t row, int64_t token) const;
  std::optional<CharSpan> token_to_chars(int64_t token) const { return token_to_chars(0, token); }
  std::optional<int32_t> token_to_word(size_t row, int64_t token) const;
  std::optional<int32_t> token_to_word(int64_t token) const { return token_to_word(0, token); }
  std::optional<int32_t> token_to_sequence(size_t row, int64_t token) const;
  std::optional<TokenSpan> word_to_tokens(size_t row, int64_t word, int sequence = 0) const;
  std::optional<TokenSpan> word_to_tokens(int64_t word) const { return word_to_tokens(0, word); }
  std::optional<CharSpan> word_to_chars(size_t row, int64_t word, int sequence = 0) const;
  std::optional<int32_t> char_to_word(size_t row, int64_t position, int sequence = 0) const;
  std::optional<int32_t> char_to_word(int64_t position) const { return char_to_word(0, position); }

 private:
  friend class BatchBuilder;

  // A token whose text is not the vocabulary's entry for its id: an unknown piece, or an added token together with the
  // space it swallowed.
  struct OddToken {
    int32_t index;
    std::string text;
  };

  size_t check_row(size_t row) const;
  size_t check_token(size_t row, int64_t token) const;

  Ragged<CharSpan> offsets_;
  Ragged<int32_t> word_ids_;
  Ragged<int8_t> sequence_ids_;
  std::vector<std::vector<OddToken>> odd_tokens_;
  std::shared_ptr<const tokenizer_detail::TokenTexts> texts_;
};

}  // namespace mica
