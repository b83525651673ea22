#include "mica/training/dataset/example.h"

#include <algorithm>

#include "mica/base/error.h"

namespace mica {

Example::Example(std::initializer_list<Field> fields) {
  for (const Field& field : fields) set(field.first, field.second);
}

Example::Example(std::vector<Field> fields, int64_t row) : fields_(std::move(fields)), row_(row) {}

const Value* Example::find(std::string_view name) const {
  for (const Field& field : fields_) {
    if (field.first == name) return &field.second;
  }
  return nullptr;
}

const Value& Example::operator[](std::string_view name) const& {
  if (const Value* found = find(name)) return *found;
  std::string names;
  for (const Field& field : fields_) names += (names.empty() ? "" : ", ") + printable(field.first);
  throw Error("there is no column \"" + printable(name) + "\"", row_ < 0 ? "example" : "row " + std::to_string(row_),
              names.empty() ? "the row is empty" : "there are: " + names);
}

void Example::set(std::string name, Value value) {
  ValueOrigin origin = value.origin();
  if (!origin.column || *origin.column != name) origin = {std::make_shared<const std::string>(name), row_};
  value = std::move(value).with_origin(std::move(origin));
  for (Field& field : fields_) {
    if (field.first == name) {
      field.second = std::move(value);
      return;
    }
  }
  fields_.emplace_back(std::move(name), std::move(value));
}

void Example::remove(std::string_view name) {
  std::erase_if(fields_, [&](const Field& field) { return field.first == name; });
}

std::vector<std::string> Example::column_names() const {
  std::vector<std::string> names;
  for (const Field& field : fields_) names.push_back(field.first);
  return names;
}

std::string Example::text() const {
  return Value::structure(fields_).text();
}

}  // namespace mica
