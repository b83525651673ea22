#pragma once
// Data sets: rows of named, typed columns.
//
//   Dataset dataset = Dataset::from_dict({{"text", {"I love this product", "This is terrible"}}, {"label", {1, 0}}});
//   Dataset tokenized = dataset.map([&](const Example& e) { return tokenizer(e["text"], {.truncation = true}); });
//
// Columns hold truth values, int64, float64, texts, lists and structs of these, and nulls; their types are inferred
// over all rows (integers among numbers become numbers). A row that does not fit is an Error that names its column.

#include <cstddef>
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
#include "mica/training/dataset/reader_options.h"
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

/// Some rows, by columns: what functions of map_batched() take and return.
class Batch {
 public:
  Batch() = default;
  Batch(std::initializer_list<std::pair<std::string, std::vector<Value>>> columns);
  /// The columns of an encoding, a row each; with overflowing windows also overflow_to_sample_mapping.
  Batch(const BatchEncoding& encoding);

  /// Throws Error where there is none of that name.
  const std::vector<Value>& operator[](std::string_view name) const;
  /// A column of texts, as tokenizers take a batch.
  std::vector<std::string> strings(std::string_view name) const;
  /// Adds or replaces a column.
  void set(std::string name, std::vector<Value> values);
  const std::vector<std::pair<std::string, std::vector<Value>>>& columns() const { return columns_; }
  /// Rows; 0 without columns. Throws Error where columns differ in length.
  int64_t size() const;

 private:
  std::vector<std::pair<std::string, std::vector<Value>>> columns_;
};

struct MapOptions {
  std::vector<std::string> remove_columns = {};  ///< of the source; the function sees them still
  int num_proc = 1;  ///< threads that call the function at once, at most as many as num_threads()
  /// Where the result is kept on disk, and mapped from: it may be larger than memory. It is taken from there when the
  /// source (a file's path, size and time, or the content), the removed columns and `fingerprint` are the same again.
  std::string cache_folder = {};
  /// With cache_folder: what tells this function from others, and from itself once it has changed: "tokenize bert 128
  /// v2".
  std::string fingerprint = {};
};

struct MapBatchedOptions {
  int64_t batch_size = 1000;
  std::vector<std::string> remove_columns = {};  ///< of the source; the function sees them still
  int num_proc = 1;                              ///< as in MapOptions
  std::string cache_folder = {};                 ///< likewise
  std::string fingerprint = {};                  ///< likewise
};

struct FilterOptions {
  int num_proc = 1;  ///< as in MapOptions
};

struct SplitOptions {
  double test_size = 0.25;  ///< below 1 a share of the rows, rounded up; else their number
  uint64_t seed = 42;
  bool shuffle = true;
};

class Dataset;
class RowGatherer;
struct DatasetSplit;

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
  // Readers. Files may be compressed with gzip. An Error names the file, the line and, for a value that does not fit
  // the rows before, the column.
  /// A JSON object a line; blank lines are skipped.
  static Dataset from_jsonl(const std::string& path, const JsonOptions& options = {});
  /// A list of JSON objects, also as the "data" of an object; a SQuAD file; or JSON lines.
  static Dataset from_json(const std::string& path, const JsonOptions& options = {});
  static Dataset from_csv(const std::string& path, const CsvOptions& options = {});
  static Dataset from_text(const std::string& path, const TextOptions& options = {});
  static Dataset from_conll(const std::string& path, const ConllOptions& options = {});
  /// A row a question: id, title, context, question, and answers with the lists text and answer_start.
  static Dataset from_squad(const std::string& path, const JsonOptions& options = {});
  /// By the name's ending: .jsonl .ndjson .json .csv .tsv .txt .text .conll .iob .bio .conllu, each also .gz; a folder
  /// is loaded with load_from_disk(). `cache_folder`: see JsonOptions.
  static Dataset from_file(const std::string& path, const std::string& cache_folder = {});
  /// Maps what save_to_disk() wrote: rows are read when they are asked for. Throws Error for a folder that holds none,
  /// or a damaged one.
  static Dataset load_from_disk(const std::string& folder);
  /// Writes all rows and columns, in their order. The folder is as before or whole, whatever happens meanwhile.
  void save_to_disk(const std::string& folder) const;
  /// What tells the content from others: of the files it came from and what was done since, else of all cells.
  std::string fingerprint() const;

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
  /// Batches of rows, with what the function makes of them: as many rows as it was given, or any number where all
  /// columns of the source are removed.
  Dataset map_batched(const std::function<Batch(const Batch&)>& function, const MapBatchedOptions& options = {}) const;
  /// The rows for which the function holds.
  Dataset filter(const std::function<bool(const Example&)>& function, const FilterOptions& options = {}) const;
  /// The rows of these numbers, in this order; they may repeat.
  Dataset select(std::span<const int64_t> rows) const;
  Dataset select(std::initializer_list<int64_t> rows) const;
  /// Rows [begin, end).
  Dataset slice(int64_t begin, int64_t end) const;
  /// All rows in an order that depends on the seed and their number alone.
  Dataset shuffle(uint64_t seed) const;
  DatasetSplit train_test_split(const SplitOptions& options = {}) const;

  // Columns. Each throws Error for a name that is not there; renaming also for one that is there already.
  Dataset rename_column(const std::string& from, const std::string& to) const;
  Dataset rename_columns(const std::vector<std::pair<std::string, std::string>>& names) const;
  Dataset remove_columns(const std::vector<std::string>& names) const;
  /// These columns, in this order.
  Dataset select_columns(const std::vector<std::string>& names) const;
  /// Numbers the values of a column, or the items of its lists: texts in the order of their bytes, numbers by size. The
  /// column then holds the numbers of the classes, and features() their names.
  Dataset class_encode_column(const std::string& name) const;
  /// With given names, such as another split's: texts must be among them; integers stay, as numbers of classes.
  Dataset class_encode_column(const std::string& name, const std::vector<std::string>& class_names) const;

  /// The columns that rows show from now on; the others are kept out of sight. map() and filter() see these alone.
  void set_format(const std::vector<std::string>& columns);
  void reset_format();

  class Iterator {
   public:
    using value_type = Example;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(const Dataset* dataset, int64_t row) : dataset_(dataset), row_(row) {}
    Example operator*() const { return (*dataset_)[row_]; }
    Iterator& operator++() {
      ++row_;
      return *this;
    }
    Iterator operator++(int) { return {dataset_, row_++}; }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const Dataset* dataset_ = nullptr;
    int64_t row_ = 0;
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }

  struct Impl;
  explicit Dataset(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  const std::shared_ptr<const Impl>& impl() const { return impl_; }

 private:
  void check_row(int64_t row) const;
  Dataset ordered(std::vector<int64_t> rows) const;
  void map_rows(const std::function<MappedRow(const Example&)>& function, const MapOptions& options,
                RowGatherer& rows) const;
  void map_batches(const std::function<Batch(const Batch&)>& function, const MapBatchedOptions& options,
                   RowGatherer& rows) const;
  std::shared_ptr<const Impl> impl_;
  std::shared_ptr<const std::vector<size_t>> shown_;  // null: all columns
};

struct DatasetSplit {
  Dataset train, test;
};

/// The rows of one after the other; a column that one lacks is null there. Throws Error for columns of types that have
/// nothing in common.
Dataset concatenate_datasets(const std::vector<Dataset>& datasets);

}  // namespace mica
