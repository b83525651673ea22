#include "mica/training/dataset/column.h"

#include <algorithm>

#include "mica/base/error.h"

namespace mica {

bool Column::is_null(int64_t row) const {
  return type.kind == FeatureKind::null || (!valid.empty() && valid[static_cast<size_t>(row)] == 0);
}

Value Column::cell(int64_t row) const {
  if (is_null(row)) return {};
  const auto at = static_cast<size_t>(row);
  switch (type.kind) {
    case FeatureKind::null:
      return {};
    case FeatureKind::boolean:
      return booleans[at] != 0;
    case FeatureKind::int64:
      return integers[at];
    case FeatureKind::float64:
      return numbers[at];
    case FeatureKind::string: {
      const auto [begin, end] = range(row, static_cast<int64_t>(bytes.size()));
      return Value::view(std::string_view(bytes.data() + begin, static_cast<size_t>(end - begin)), shared_from_this());
    }
    case FeatureKind::list:
      return list(row);
    case FeatureKind::structure: {
      Value::Struct fields;
      for (size_t i = 0; i < children.size(); ++i) {
        fields.emplace_back(type.children[i].first, children[i]->cell(row));
      }
      return Value::structure(std::move(fields));
    }
  }
  return {};
}

// A file may hold any offsets.
std::pair<int64_t, int64_t> Column::range(int64_t row, int64_t limit) const {
  const int64_t begin = offsets[static_cast<size_t>(row)];
  const int64_t end = offsets[static_cast<size_t>(row) + 1];
  if (begin < 0 || end < begin || end > limit) {
    throw Error("row " + std::to_string(row) + " lies outside its column", "data set on disk",
                "the file is damaged: make it again");
  }
  return {begin, end};
}

Value Column::list(int64_t row) const {
  const Column& items = *children.front();
  const auto [begin, end] = range(row, items.rows);
  const auto count = static_cast<size_t>(end - begin);
  const bool whole = items.valid.empty() ||
                     std::all_of(items.valid.data() + begin, items.valid.data() + end, [](uint8_t v) { return v; });
  if (whole && items.type.kind == FeatureKind::int64) {
    return Value::view(std::span(items.integers.data() + begin, count), children.front());
  }
  if (whole && items.type.kind == FeatureKind::float64) {
    return Value::view(std::span(items.numbers.data() + begin, count), children.front());
  }
  Value::List list;
  list.reserve(count);
  for (int64_t i = begin; i < end; ++i) list.push_back(items.cell(i));
  return list;
}

double exact_number(int64_t value) {
  constexpr int64_t kExact = int64_t{1} << 53;
  if (value < -kExact || value > kExact) {
    throw Error("the integer " + std::to_string(value) + " among numbers with fractions", "",
                "beyond 2^53 it would lose digits: keep such numbers as text");
  }
  return static_cast<double>(value);
}

Value conform(Value value, const Feature& type) {
  if (value.is_null()) return value;
  switch (type.kind) {
    case FeatureKind::float64:
      if (value.kind() == ValueKind::integer) return exact_number(value.as_int());
      return value;
    case FeatureKind::list: {
      const FeatureKind item = type.item().kind;
      if (value.kind() == ValueKind::integers && item == FeatureKind::float64) {
        std::vector<double> numbers;
        for (const int64_t each : value.as_ints()) numbers.push_back(exact_number(each));
        return numbers;
      }
      if (value.kind() != ValueKind::list) return value;
      Value::List items;
      for (int64_t i = 0; i < value.size(); ++i) items.push_back(conform(value.at(i), type.item()));
      return items;
    }
    case FeatureKind::structure: {
      const Value::Struct& given = value.as_struct();
      Value::Struct fields;
      for (const auto& [name, child] : type.children) {
        const auto found =
            std::find_if(given.begin(), given.end(), [&](const auto& each) { return each.first == name; });
        fields.emplace_back(name, found == given.end() ? Value() : conform(found->second, child));
      }
      return Value::structure(std::move(fields));
    }
    default:
      return value;
  }
}

}  // namespace mica
