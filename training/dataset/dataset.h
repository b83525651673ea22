#pragma once
// Data sets: rows of named, typed columns.
//
//   Dataset dataset = Dataset::from_dict({{"text", {"I love this product", "This is terrible"}}, {"label", {1, 0}}});
//   Dataset tokenized = dataset.map([&](const Example& e) { return tokenizer(e["text"], {.truncation = true}); });
//
// Columns hold truth values, int64, float64, texts, lists and structs of these, and nulls; their types are inferred
// over all rows (integers among numbers become numbers). A row that does not fit is an Error that names its column.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/tokenizers/batch_encoding.h"
#include "mica/training/dataset/example.h"
#include "mica/training/dataset/features.h"
#include "mica/training/dataset/value.h"

namespace mica {

/// What a function of map() returns: columns to add to the row, or to replace there. A tokenizer's encoding stands for
/// the columns input_ids, token_type_ids (where the model takes them) and attention_mask; each is a list, or, when the
/// encoding has several rows or windows, a list of lists.
class MappedRow {
 public:
  MappedRow(Example row) : row_(std::move(row)) {}
  MappedRow(const BatchEncoding& encoding);
  const Example& row() const { return row_; }

 private:
  Example row_;
};

struct MapOptions {
  std::vector<std::string> remove_columns = {};  ///< of the source; the function sees them still
  int num_proc = 1;  ///< threads that call the function at once, at most as many as num_threads()
};

/// A value: cheap to copy, columns are shared and never change. Const methods may be called from several threads.
class Dataset {
 public:
  using Columns = std::vector<std::pair<std::string, std::vector<Value>>>;

  /// No rows, no columns.
  Dataset();
  /// Columns of equal lengths; throws Error otherwise.
  static Dataset from_dict(std::initializer_list<std::pair<std::string, std::vector<Value>>> columns);
  static Dataset from_dict(const Columns& columns);
  /// Rows; what a row lacks is null.
  static Dataset from_list(std::span<const Example> rows);
  /// A JSON object a line; blank lines are skipped. May be compressed with gzip.
  static Dataset from_jsonl(const std::string& path);

  int64_t size() const;
  bool empty() const { return size() == 0; }
  std::vector<std::string> column_names() const;
  int64_t num_columns() const;
  const Features& features() const;
  /// Throws Error where the row is out of range.
  Example operator[](int64_t row) const;
  /// All cells of a column; throws Error where there is none of that name.
  std::vector<Value> operator[](std::string_view column) const;
  Value cell(int64_t row, std::string_view column) const;
  /// How long each row's list is, for samplers that group by length.
  std::vector<int64_t> lengths(std::string_view column = "input_ids") const;

  /// Each row, with what the function makes of it. Rows keep their order whatever num_proc is.
  Dataset map(const std::function<MappedRow(const Example&)>& function, const MapOptions& options = {}) const;
  /// The rows of these numbers, in this order; they may repeat.
  Dataset select(std::span<const int64_t> rows) const;
  Dataset select(std::initializer_list<int64_t> rows) const;
  /// All rows in an order that depends on the seed and their number alone.
  Dataset shuffle(uint64_t seed) const;

  struct Impl;
  explicit Dataset(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

 private:
  void check_row(int64_t row) const;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace mica
