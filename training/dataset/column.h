#pragma once
// Internal: a column as it lies in memory or in a mapped file, and how one is built.
//
// Cells of one type lie one after the other: numbers as they are, texts as one run of bytes and lists as one column of
// items, both cut by rows + 1 offsets. Nothing in a mapped column is trusted: each access checks the offsets it uses.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mica/base/table.h"
#include "mica/training/dataset/features.h"
#include "mica/training/dataset/value.h"

namespace mica {

struct Column : std::enable_shared_from_this<Column> {
  Feature type;  // without names of classes
  int64_t rows = 0;
  Table<uint8_t> valid;     // [rows] 0 or 1; empty: all are
  Table<uint8_t> booleans;  // [rows]
  Table<int64_t> integers;  // [rows]
  Table<double> numbers;    // [rows]
  Table<int64_t> offsets;   // [rows + 1] of texts and lists
  Table<char> bytes;
  std::vector<std::shared_ptr<const Column>> children;  // as type.children

  Value cell(int64_t row) const;
  bool is_null(int64_t row) const;

 private:
  std::pair<int64_t, int64_t> range(int64_t row, int64_t limit) const;
  Value list(int64_t row) const;
};

/// Columns of a data set, or fields of a struct, at most: each has a place in every row, whether it is there or not.
inline constexpr size_t kMaxFields = 4096;

/// A cell as a cell of `type`, which is the common feature of its own and others.
Value conform(Value value, const Feature& type);

/// Takes cells of any type and widens the column to their common one.
class ColumnBuilder {
 public:
  /// Throws Error where the value has no type in common with those before it; the column is then as it was, but for
  /// items of an unfinished list or struct: stop building.
  void append(const Value& value);
  int64_t rows() const { return rows_; }
  /// Memory of the cells, about.
  int64_t bytes() const;
  const Feature& type() const { return type_; }
  /// The column so far. The builder is then empty, and remembers the type.
  std::shared_ptr<const Column> finish();

 private:
  void append_null();
  void widen(const Value& value);
  void append_items(const Value& value);
  void append_fields(const Value& value);
  ColumnBuilder& field(const std::string& name);
  void note_child(size_t i);

  Feature type_;
  int64_t rows_ = 0;
  std::vector<uint8_t> valid_, booleans_;
  std::vector<int64_t> integers_, offsets_;
  std::vector<double> numbers_;
  std::vector<char> bytes_;
  std::vector<std::pair<std::string, ColumnBuilder>> children_;
};

/// int64 as float64; throws Error where that would lose digits.
double exact_number(int64_t value);

}  // namespace mica
