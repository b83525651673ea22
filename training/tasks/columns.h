#pragma once
// Columns of data, as recipes read them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/tokenizers/tokenizer.h"
#include "mica/training/dataset/dataset.h"

namespace mica {

/// The column of the given name or, where that is empty, the first of `defaults` that the data has. Throws Error,
/// naming the columns there are.
std::string column_of(const Dataset& data, const std::string& given, const std::vector<std::string>& defaults,
                      const char* flag);
/// The same, nothing where it is neither given nor there.
std::optional<std::string> optional_column(const Dataset& data, const std::string& given,
                                           const std::vector<std::string>& defaults, const char* flag);

/// Tokens of a row: as given, at most what model and tokenizer take; else those, at most 512.
int64_t row_limit(const Model& model, const Tokenizer& tokenizer, std::optional<int64_t> given);

/// Labels by name. A data set may hold names, or ids.
class LabelNames {
 public:
  LabelNames() = default;
  /// `names` by id.
  explicit LabelNames(std::vector<std::string> names) : names_(std::move(names)) {}
  /// The id of a cell that holds a name or an id; throws Error, naming row and column, for one that is none.
  int64_t id_of(const Value& cell) const;
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
};

/// The names of labels that cells hold, or lists of them: in the order of the config's where it has them all, else
/// sorted; of ids the config's where they suffice, else LABEL_0, ...
std::vector<std::string> label_names(const std::vector<Value>& cells, const Config& config);

}  // namespace mica
