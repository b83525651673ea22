#pragma once
// From examples to a batch that a model takes.

#include <cstdint>
#include <span>

#include "mica/models/inputs.h"
#include "mica/training/dataset/example.h"

namespace mica {

/// Whatever a collator draws at random depends on this, on the row's number in its data set (Example::row(); for rows
/// of no data set on the place in the batch), and on nothing else: not on threads, not on what else is in the batch. So
/// a run that is resumed goes on as if it had never stopped, and a batch may be split over processes.
struct BatchContext {
  uint64_t seed = 0;
  uint64_t epoch = 0;
};

/// A collator makes one batch of rows. Calls may come from several threads at once.
///
/// Every column that a model takes (ModelInputs::names()) becomes a tensor, `label` and `label_ids` as `labels`:
/// integers and truth values int64, other numbers float32. Columns that no model takes (texts, ids of rows) are left
/// out.
class DataCollator {
 public:
  virtual ~DataCollator() = default;
  /// Throws Error for no rows, for a column that some rows lack, and for values of the wrong type, naming row and
  /// column.
  ModelInputs operator()(std::span<const Example> rows, const BatchContext& context = {}) const;

 private:
  virtual ModelInputs collate(std::span<const Example> rows, const BatchContext& context) const = 0;
};

/// Stacks what is there: lists must have the same length in all rows.
class DefaultDataCollator : public DataCollator {
 private:
  ModelInputs collate(std::span<const Example> rows, const BatchContext& context) const override;
};

}  // namespace mica
