#include "mica/training/dataset/dataset.h"

#include <algorithm>

#include "mica/base/error.h"
#include "mica/training/dataset/storage.h"

namespace mica {

Dataset::Dataset() : impl_(RowGatherer().finish()) {}

Dataset Dataset::from_dict(std::initializer_list<std::pair<std::string, std::vector<Value>>> columns) {
  return from_dict(Columns(columns));
}

Dataset Dataset::from_dict(const Columns& columns) {
  RowGatherer rows;
  std::vector<std::string> names;
  for (const auto& [name, values] : columns) {
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      throw Error("the column \"" + printable(name) + "\" twice", "data set", "give each name once");
    }
    names.push_back(name);
    if (values.size() != columns.front().second.size()) {
      throw Error("the column \"" + printable(name) + "\" has " + std::to_string(values.size()) + " rows, \"" +
                      printable(columns.front().first) + "\" has " + std::to_string(columns.front().second.size()),
                  "data set", "give columns of equal length");
    }
  }
  rows.declare(names);
  const size_t size = columns.empty() ? 0 : columns.front().second.size();
  for (size_t row = 0; row < size; ++row) {
    std::vector<Value::Field> fields;
    for (const auto& [name, values] : columns) fields.emplace_back(name, values[row]);
    rows.add(fields);
  }
  return Dataset(rows.finish());
}

Dataset Dataset::from_list(std::span<const Example> examples) {
  RowGatherer rows;
  for (const Example& each : examples) rows.add(each);
  return Dataset(rows.finish());
}

int64_t Dataset::size() const {
  return impl_->size();
}

std::vector<std::string> Dataset::column_names() const {
  return impl_->features.names();
}

int64_t Dataset::num_columns() const {
  return static_cast<int64_t>(impl_->features.size());
}

const Features& Dataset::features() const {
  return impl_->features;
}

void Dataset::check_row(int64_t row) const {
  if (row < 0 || row >= size()) {
    throw Error("there is no row " + std::to_string(row), "data set of " + std::to_string(size()) + " rows",
                "rows are counted from 0");
  }
}

Example Dataset::operator[](int64_t row) const {
  check_row(row);
  std::vector<Value::Field> fields;
  const auto add = [&](size_t i) { fields.emplace_back(impl_->features.columns()[i].first, impl_->cell(row, i)); };
  fields.reserve(shown_ ? shown_->size() : impl_->features.size());
  if (shown_) {
    for (const size_t i : *shown_) add(i);
  } else {
    for (size_t i = 0; i < impl_->features.size(); ++i) add(i);
  }
  return Example(std::move(fields), row);
}

std::vector<Value> Dataset::operator[](std::string_view column) const {
  const size_t index = impl_->features.require(column);
  std::vector<Value> cells;
  cells.reserve(static_cast<size_t>(size()));
  for (int64_t row = 0; row < size(); ++row) cells.push_back(impl_->cell(row, index));
  return cells;
}

Value Dataset::cell(int64_t row, std::string_view column) const {
  check_row(row);
  return impl_->cell(row, impl_->features.require(column));
}

std::vector<int64_t> Dataset::lengths(std::string_view column) const {
  const size_t index = impl_->features.require(column);
  std::vector<int64_t> result;
  result.reserve(static_cast<size_t>(size()));
  for (int64_t row = 0; row < size(); ++row) result.push_back(impl_->cell(row, index).size());
  return result;
}

}  // namespace mica
