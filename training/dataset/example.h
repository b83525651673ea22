#pragma once
// One row of a data set: values by the names of their columns, in order.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mica/training/dataset/value.h"

namespace mica {

class Example {
 public:
  using Field = Value::Field;

  Example() = default;
  /// `Example{{"text", "fine"}, {"label", 1}}`.
  Example(std::initializer_list<Field> fields);
  explicit Example(std::vector<Field> fields, int64_t row = -1);

  /// Throws Error, naming the row and the columns there are, where there is none of that name.
  const Value& operator[](std::string_view name) const&;
  Value operator[](std::string_view name) && { return std::as_const(*this)[name]; }
  /// Null where there is none of that name.
  const Value* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// Adds a column at the end, or replaces its value in place.
  void set(std::string name, Value value);
  /// Nothing happens where there is none of that name.
  void remove(std::string_view name);

  const std::vector<Field>& fields() const { return fields_; }
  std::vector<std::string> column_names() const;
  size_t size() const { return fields_.size(); }
  bool empty() const { return fields_.empty(); }
  /// The number of the row in its data set, -1 for an example of its own.
  int64_t row() const { return row_; }
  /// As a line of JSON, long values cut short.
  std::string text() const;

  friend bool operator==(const Example& a, const Example& b) { return a.fields_ == b.fields_; }

 private:
  std::vector<Field> fields_;
  int64_t row_ = -1;
};

}  // namespace mica
