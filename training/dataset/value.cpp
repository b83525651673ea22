#include "mica/training/dataset/value.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/training/dataset/value_json.h"

namespace mica {

std::string_view describe(ValueKind kind) {
  switch (kind) {
    case ValueKind::null:
      return "nothing";
    case ValueKind::boolean:
      return "a truth value";
    case ValueKind::integer:
      return "an integer";
    case ValueKind::number:
      return "a number";
    case ValueKind::string:
      return "a text";
    case ValueKind::integers:
      return "a list of integers";
    case ValueKind::numbers:
      return "a list of numbers";
    case ValueKind::list:
      return "a list";
    case ValueKind::structure:
      return "a struct";
  }
  return "a value";
}

std::string ValueOrigin::text() const {
  std::string result;
  if (column) result += "column \"" + printable(*column) + "\"";
  if (row >= 0) result += (result.empty() ? "row " : " of row ") + std::to_string(row);
  return result;
}

Value::Value(std::string text) {
  const auto own = std::make_shared<const std::string>(std::move(text));
  *this = view(*own, own);
}

Value::Value(std::vector<int64_t> values) {
  const auto own = std::make_shared<const std::vector<int64_t>>(std::move(values));
  *this = view(std::span<const int64_t>(*own), own);
}

Value::Value(std::vector<double> values) {
  const auto own = std::make_shared<const std::vector<double>>(std::move(values));
  *this = view(std::span<const double>(*own), own);
}

Value::Value(const std::vector<std::string>& values) : Value(List(values.begin(), values.end())) {}

Value::Value(List values) {
  const auto all = [&](auto test) { return !values.empty() && std::all_of(values.begin(), values.end(), test); };
  if (all([](const Value& each) { return each.kind_ == ValueKind::integer; })) {
    std::vector<int64_t> integers;
    for (const Value& each : values) integers.push_back(each.integer_);
    *this = Value(std::move(integers));
  } else if (all([](const Value& each) {
               return each.kind_ == ValueKind::number || each.kind_ == ValueKind::integer;
             })) {
    std::vector<double> numbers;
    for (const Value& each : values) numbers.push_back(each.as_double());
    *this = Value(std::move(numbers));
  } else {
    const auto own = std::make_shared<const List>(std::move(values));
    kind_ = ValueKind::list;
    data_ = own->data();
    size_ = own->size();
    keep_ = own;
  }
}

Value Value::structure(Struct fields) {
  for (size_t i = 0; i < fields.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (fields[i].first == fields[j].first) {
        throw Error("a struct with the field \"" + printable(fields[i].first) + "\" twice", "", "give each name once");
      }
    }
  }
  const auto own = std::make_shared<const Struct>(std::move(fields));
  Value value;
  value.kind_ = ValueKind::structure;
  value.data_ = own.get();
  value.size_ = own->size();
  value.keep_ = own;
  return value;
}

Value Value::view_of(ValueKind kind, const void* data, size_t size, std::shared_ptr<const void> keep) {
  Value value;
  value.kind_ = kind;
  value.data_ = data;
  value.size_ = size;
  value.keep_ = std::move(keep);
  return value;
}

Value Value::view(std::string_view text, std::shared_ptr<const void> keep) {
  return view_of(ValueKind::string, text.data(), text.size(), std::move(keep));
}
Value Value::view(std::span<const int64_t> values, std::shared_ptr<const void> keep) {
  return view_of(ValueKind::integers, values.data(), values.size(), std::move(keep));
}
Value Value::view(std::span<const double> values, std::shared_ptr<const void> keep) {
  return view_of(ValueKind::numbers, values.data(), values.size(), std::move(keep));
}

void Value::too_large() {
  throw Error("an integer beyond 9223372036854775807", "data set", "keep such numbers as text");
}

void Value::fail(std::string_view wanted) const {
  const std::string held = is_null() ? "nothing" : std::string(describe(kind_)) + ", " + printable(text());
  throw Error("holds " + held + ", where " + std::string(wanted) + " is needed", origin_.text(),
              "mend the row, choose another column, or convert it with map()");
}

bool Value::as_bool() const {
  if (kind_ != ValueKind::boolean) fail("a truth value");
  return integer_ != 0;
}

int64_t Value::as_int() const {
  if (kind_ != ValueKind::integer && kind_ != ValueKind::boolean) fail("an integer");
  return integer_;
}

double Value::as_double() const {
  if (kind_ == ValueKind::number) return number_;
  if (kind_ == ValueKind::integer) return static_cast<double>(integer_);
  fail("a number");
}

std::string_view Value::as_string() const {
  if (kind_ != ValueKind::string) fail("a text");
  return {static_cast<const char*>(data_), size_};
}

std::span<const int64_t> Value::as_ints() const {
  if (is_list() && size_ == 0) return {};
  if (kind_ != ValueKind::integers) fail("a list of integers");
  return {static_cast<const int64_t*>(data_), size_};
}

std::vector<double> Value::as_doubles() const {
  if (is_list() && size_ == 0) return {};
  if (kind_ == ValueKind::integers) {
    const std::span<const int64_t> values = as_ints();
    return {values.begin(), values.end()};
  }
  if (kind_ != ValueKind::numbers) fail("a list of numbers");
  const std::span<const double> values(static_cast<const double*>(data_), size_);
  return {values.begin(), values.end()};
}

std::vector<std::string> Value::as_strings() const {
  if (is_list() && size_ == 0) return {};
  if (kind_ != ValueKind::list) fail("a list of texts");
  std::vector<std::string> result;
  result.reserve(size_);
  for (const Value& each : std::span<const Value>(static_cast<const Value*>(data_), size_)) {
    if (each.kind_ != ValueKind::string) fail("a list of texts");
    result.emplace_back(each.as_string());
  }
  return result;
}

Value::List Value::as_list() const {
  if (!is_list()) fail("a list");
  List result;
  result.reserve(size_);
  for (size_t i = 0; i < size_; ++i) result.push_back(at(static_cast<int64_t>(i)));
  return result;
}

const Value::Struct& Value::as_struct() const {
  if (kind_ != ValueKind::structure) fail("a struct");
  return *static_cast<const Struct*>(data_);
}

const Value& Value::operator[](std::string_view field) const {
  for (const Field& each : as_struct()) {
    if (each.first == field) return each.second;
  }
  throw Error("there is no field \"" + printable(field) + "\" in " + printable(text()), origin_.text(),
              "name one of its fields");
}

Value Value::at(int64_t index) const {
  if (!is_list()) fail("a list");
  if (index < 0 || static_cast<size_t>(index) >= size_) {
    throw Error("item " + std::to_string(index) + " of a list of " + std::to_string(size_), origin_.text(),
                "count from 0");
  }
  Value item;
  if (kind_ == ValueKind::integers) {
    item = Value(static_cast<const int64_t*>(data_)[index]);
  } else if (kind_ == ValueKind::numbers) {
    item = Value(static_cast<const double*>(data_)[index]);
  } else {
    item = static_cast<const Value*>(data_)[index];
  }
  item.origin_ = origin_;
  return item;
}

int64_t Value::size() const {
  if (!is_list() && kind_ != ValueKind::structure) fail("a list");
  return static_cast<int64_t>(size_);
}

std::string Value::text() const {
  // What a line shows is at most a few hundred characters: long texts and lists need not be written out.
  return dump_line(value_to_json(*this, 40));
}

bool operator==(const Value& a, const Value& b) {
  if (a.is_list() && b.is_list() && a.size_ == 0 && b.size_ == 0) return true;
  if (a.kind_ != b.kind_) return false;
  const auto same = [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); };
  switch (a.kind_) {
    case ValueKind::null:
      return true;
    case ValueKind::boolean:
    case ValueKind::integer:
      return a.integer_ == b.integer_;
    case ValueKind::number:
      return same(a.number_, b.number_);
    case ValueKind::string:
      return a.as_string() == b.as_string();
    case ValueKind::integers:
      return std::ranges::equal(a.as_ints(), b.as_ints());
    case ValueKind::numbers:
      return std::ranges::equal(a.as_doubles(), b.as_doubles(), same);
    case ValueKind::list:
      return a.as_list() == b.as_list();
    case ValueKind::structure:
      return a.as_struct() == b.as_struct();
  }
  return false;
}

Value Value::with_origin(ValueOrigin origin) const& {
  return Value(*this).with_origin(std::move(origin));
}

Value Value::with_origin(ValueOrigin origin) && {
  origin_ = std::move(origin);
  return std::move(*this);
}

}  // namespace mica
