// Building of columns; see column.h.

#include <algorithm>
#include <numeric>

#include "mica/base/error.h"
#include "mica/training/dataset/column.h"

namespace mica {
namespace {

FeatureKind kind_of(const Value& value) {
  switch (value.kind()) {
    case ValueKind::null:
      return FeatureKind::null;
    case ValueKind::boolean:
      return FeatureKind::boolean;
    case ValueKind::integer:
      return FeatureKind::int64;
    case ValueKind::number:
      return FeatureKind::float64;
    case ValueKind::string:
      return FeatureKind::string;
    case ValueKind::integers:
    case ValueKind::numbers:
    case ValueKind::list:
      return FeatureKind::list;
    case ValueKind::structure:
      return FeatureKind::structure;
  }
  return FeatureKind::null;
}

template <typename T>
Table<T> taken(std::vector<T>& values) {
  values.shrink_to_fit();
  Table<T> table(std::move(values));
  values = {};
  return table;
}

template <typename T>
int64_t bytes_of(const std::vector<T>& values) {
  return static_cast<int64_t>(values.size() * sizeof(T));
}

}  // namespace

void ColumnBuilder::append(const Value& value) {
  if (value.is_null()) return append_null();
  const FeatureKind kind = kind_of(value);
  const bool number_among_numbers = kind == FeatureKind::int64 && type_.kind == FeatureKind::float64;
  if (kind != type_.kind && !number_among_numbers) widen(value);
  switch (type_.kind) {
    case FeatureKind::null:
      break;
    case FeatureKind::boolean:
      booleans_.push_back(value.as_bool() ? 1 : 0);
      break;
    case FeatureKind::int64:
      integers_.push_back(value.as_int());
      break;
    case FeatureKind::float64:
      numbers_.push_back(number_among_numbers ? exact_number(value.as_int()) : value.as_double());
      break;
    case FeatureKind::string: {
      const std::string_view text = value.as_string();
      bytes_.insert(bytes_.end(), text.begin(), text.end());
      offsets_.push_back(static_cast<int64_t>(bytes_.size()));
      break;
    }
    case FeatureKind::list:
      append_items(value);
      break;
    case FeatureKind::structure:
      append_fields(value);
      break;
  }
  ++rows_;
  if (!valid_.empty()) valid_.push_back(1);
}

void ColumnBuilder::append_null() {
  if (valid_.empty()) valid_.assign(static_cast<size_t>(rows_), 1);
  valid_.push_back(0);
  ++rows_;
  switch (type_.kind) {
    case FeatureKind::null:
      break;
    case FeatureKind::boolean:
      booleans_.push_back(0);
      break;
    case FeatureKind::int64:
      integers_.push_back(0);
      break;
    case FeatureKind::float64:
      numbers_.push_back(0);
      break;
    case FeatureKind::string:
    case FeatureKind::list:
      offsets_.push_back(offsets_.back());
      break;
    case FeatureKind::structure:
      for (auto& [name, child] : children_) child.append_null();
      break;
  }
}

// Before a value whose kind is not the column's.
void ColumnBuilder::widen(const Value& value) {
  const FeatureKind kind = kind_of(value);
  const auto rows = static_cast<size_t>(rows_);
  if (type_.kind == FeatureKind::int64 && kind == FeatureKind::float64) {
    for (const int64_t each : integers_) numbers_.push_back(exact_number(each));
    integers_ = {};
  } else if (type_.kind != FeatureKind::null) {
    value.fail(type_.text() + ", as in the rows before,");
  } else {  // nothing but nulls so far
    switch (kind) {
      case FeatureKind::boolean:
        booleans_.resize(rows);
        break;
      case FeatureKind::int64:
        integers_.resize(rows);
        break;
      case FeatureKind::float64:
        numbers_.resize(rows);
        break;
      case FeatureKind::string:
        offsets_.assign(rows + 1, 0);
        break;
      case FeatureKind::list:
        offsets_.assign(rows + 1, 0);
        children_.emplace_back();
        type_.children.emplace_back();
        break;
      default:
        break;
    }
  }
  type_.kind = kind;
}

void ColumnBuilder::append_items(const Value& value) {
  ColumnBuilder& items = children_.front().second;
  const auto plain = [&](FeatureKind kind) { return items.type_.kind == kind && items.valid_.empty(); };
  if (value.kind() == ValueKind::integers && plain(FeatureKind::int64)) {
    const std::span<const int64_t> integers = value.as_ints();
    items.integers_.insert(items.integers_.end(), integers.begin(), integers.end());
    items.rows_ += value.size();
  } else {
    for (int64_t i = 0; i < value.size(); ++i) items.append(value.at(i));
  }
  note_child(0);
  offsets_.push_back(items.rows_);
}

ColumnBuilder& ColumnBuilder::field(const std::string& name) {
  for (auto& [each, child] : children_) {
    if (each == name) return child;
  }
  if (children_.size() == kMaxFields) {
    throw Error("a struct of more than " + std::to_string(kMaxFields) + " fields", "",
                "are names taken from the data?");
  }
  children_.emplace_back(name, ColumnBuilder());
  type_.children.emplace_back(name, Feature());
  ColumnBuilder& added = children_.back().second;
  for (int64_t i = 0; i < rows_; ++i) added.append_null();
  return added;
}

void ColumnBuilder::append_fields(const Value& value) {
  for (const auto& [name, each] : value.as_struct()) {
    // Their origin is the struct's.
    field(name).append(each.origin().column ? each : each.with_origin(value.origin()));
  }
  for (size_t i = 0; i < children_.size(); ++i) {
    if (children_[i].second.rows_ == rows_) children_[i].second.append_null();
    note_child(i);
  }
}

// Types seldom change, and comparing them allocates nothing.
void ColumnBuilder::note_child(size_t i) {
  Feature& known = type_.children[i].second;
  if (!(known == children_[i].second.type_)) known = children_[i].second.type_;
}

int64_t ColumnBuilder::bytes() const {
  return std::accumulate(children_.begin(), children_.end(),
                         bytes_of(valid_) + bytes_of(booleans_) + bytes_of(integers_) + bytes_of(offsets_) +
                             bytes_of(numbers_) + bytes_of(bytes_),
                         [](int64_t sum, const auto& child) { return sum + child.second.bytes(); });
}

std::shared_ptr<const Column> ColumnBuilder::finish() {
  const auto column = std::make_shared<Column>();
  column->type = type_;
  column->rows = rows_;
  if (type_.kind != FeatureKind::null) column->valid = taken(valid_);
  column->booleans = taken(booleans_);
  column->integers = taken(integers_);
  column->numbers = taken(numbers_);
  column->offsets = taken(offsets_);
  column->bytes = taken(bytes_);
  for (auto& [name, child] : children_) column->children.push_back(child.finish());
  valid_ = {};
  rows_ = 0;
  if (type_.kind == FeatureKind::string || type_.kind == FeatureKind::list) offsets_.assign(1, 0);
  return column;
}

}  // namespace mica
