// Columns of labels: names to numbers.

#include <algorithm>
#include <set>
#include <unordered_map>

#include "mica/base/error.h"
#include "mica/training/dataset/storage.h"

namespace mica {
namespace {

// The values of a cell: itself, or the items of its list.
template <typename Function>
void each_label(const Value& cell, const Function& function) {
  if (!cell.is_list()) return function(cell);
  for (int64_t i = 0; i < cell.size(); ++i) function(cell.at(i));
}

}  // namespace

Dataset Dataset::class_encode_column(const std::string& name) const {
  const size_t column = impl_->features.require(name);
  std::set<std::string> texts;
  std::set<int64_t> numbers;
  for (int64_t row = 0; row < size(); ++row) {
    each_label(impl_->cell(row, column), [&](const Value& label) {
      if (label.is_null()) return;
      if (label.is_string()) {
        texts.emplace(label.as_string());
      } else {
        numbers.insert(label.as_int());
      }
    });
  }
  std::vector<std::string> names(texts.begin(), texts.end());
  for (const int64_t number : numbers) names.push_back(std::to_string(number));
  if (names.empty()) {
    throw Error("there are no labels", "column \"" + printable(name) + "\"", "an empty data set has no classes");
  }
  if (numbers.empty()) return class_encode_column(name, names);
  // Integers become the numbers of their classes by way of their names.
  const Dataset named = map([&](const Example& row) -> MappedRow {
    const auto text = [](const Value& label) -> Value {
      return label.is_null() ? Value() : Value(std::to_string(label.as_int()));
    };
    const Value& cell = row[name];
    if (!cell.is_list()) return Example{{name, text(cell)}};
    Value::List list;
    each_label(cell, [&](const Value& label) { list.push_back(text(label)); });
    return Example{{name, std::move(list)}};
  });
  return named.class_encode_column(name, names);
}

Dataset Dataset::class_encode_column(const std::string& name, const std::vector<std::string>& class_names) const {
  const Feature classes = Feature::class_label(class_names);
  std::unordered_map<std::string_view, int64_t> numbers;
  for (const std::string& each : class_names) {
    if (!numbers.emplace(each, static_cast<int64_t>(numbers.size())).second) {
      throw Error("two classes named \"" + printable(each) + "\"", "column \"" + printable(name) + "\"",
                  "give each name once");
    }
  }
  const auto number = [&](const Value& label, const Value& cell) -> Value {
    if (label.is_null()) return {};
    if (label.is_string()) {
      const auto found = numbers.find(label.as_string());
      if (found == numbers.end()) {
        throw Error("there is no class named \"" + printable(label.as_string()) + "\"", cell.origin().text(),
                    "the classes are " + classes.text());
      }
      return found->second;
    }
    const int64_t id = label.as_int();
    if (id < 0 || id >= classes.num_classes()) {
      throw Error("there is no class " + std::to_string(id), cell.origin().text(),
                  "there are " + std::to_string(classes.num_classes()) + ", counted from 0");
    }
    return id;
  };
  impl_->features.require(name);
  Dataset all = *this;
  all.shown_ = nullptr;
  const Dataset encoded = all.map([&](const Example& row) -> MappedRow {
    const Value& cell = row[name];
    if (!cell.is_list()) return Example{{name, number(cell, cell)}};
    Value::List list;
    each_label(cell, [&](const Value& label) { list.push_back(number(label, cell)); });
    return Example{{name, std::move(list)}};
  });
  Features features = encoded.features();
  Feature& feature = features.columns()[features.require(name)].second;
  if (feature.kind == FeatureKind::list) {
    feature = Feature::list_of(classes);
  } else {
    feature = classes;
  }
  Dataset result(std::make_shared<const Impl>(std::move(features), encoded.impl_->blocks, encoded.impl_->indices,
                                              encoded.impl_->fingerprint));
  result.shown_ = shown_;
  return result;
}

}  // namespace mica
