#pragma once
// Internal: the rows of a data set, in blocks of columns, and how they are gathered.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mica/training/dataset/column.h"
#include "mica/training/dataset/dataset.h"

namespace mica {

/// Some rows. A column that none of them has is null; a column may be narrower than the data set's feature.
struct RowBlock {
  int64_t rows = 0;
  std::vector<std::shared_ptr<const Column>> columns;  // as the data set's features
};

struct Dataset::Impl {
  Features features;
  std::vector<RowBlock> blocks;
  std::vector<int64_t> starts;              // of each block, and the end of the last
  std::optional<Table<int64_t>> indices;    // of the stored rows, where not all in their order
  std::vector<std::vector<uint8_t>> exact;  // [block][column]: its cells need not be widened
  std::string fingerprint;                  // empty: of the content, when asked for

  std::shared_ptr<const std::vector<std::shared_ptr<const std::string>>> names;  // shared by the origins of cells

  Impl(Features features, std::vector<RowBlock> blocks, std::optional<Table<int64_t>> indices, std::string fingerprint);
  int64_t size() const { return indices ? static_cast<int64_t>(indices->size()) : starts.back(); }
  /// The cell of row `row` of the data set, with its origin.
  Value cell(int64_t row, size_t column) const;
};

/// The same, where columns that the source has too keep what their cells alone don't tell: the names of classes, as far
/// as there are such numbers, and the types of what is null everywhere.
std::shared_ptr<const Dataset::Impl> with_features(std::shared_ptr<const Dataset::Impl> mapped, const Features& source);

/// Gathers rows to blocks; with `full`, blocks of about kBlockBytes pass through it as they fill up (to be written to
/// disk, and mapped).
class RowGatherer {
 public:
  using Full = std::function<RowBlock(RowBlock)>;
  static constexpr int64_t kBlockBytes = int64_t{64} << 20;

  explicit RowGatherer(Full full = {}, int64_t block_bytes = kBlockBytes)
      : full_(std::move(full)), block_bytes_(block_bytes) {}
  void add(const Example& row);
  void add(const std::vector<Value::Field>& fields);
  int64_t rows() const { return rows_ + done_rows_; }
  /// Columns that are to come in this order, whether rows have them or not.
  void declare(const std::vector<std::string>& names);
  /// `fingerprint`: see Dataset::Impl.
  std::shared_ptr<const Dataset::Impl> finish(std::string fingerprint = {});

 private:
  ColumnBuilder& column(const std::string& name, size_t hint);
  void flush();

  Full full_;
  int64_t block_bytes_ = 0, rows_ = 0, done_rows_ = 0;
  std::vector<std::pair<std::string, ColumnBuilder>> columns_;
  std::vector<RowBlock> blocks_;
};

}  // namespace mica
