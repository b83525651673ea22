#pragma once
// What the columns of a data set hold.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mica {

enum class FeatureKind { null, boolean, int64, float64, string, list, structure };

/// The type of a column, of the items of a list, or of a field. Every one may hold nulls; `null` holds nothing else.
struct Feature {
  FeatureKind kind = FeatureKind::null;
  /// Of class labels, which are kept as int64: the name of each.
  std::vector<std::string> names = {};
  /// Of a list: one, without a name, for its items. Of a struct: its fields.
  std::vector<std::pair<std::string, Feature>> children = {};

  static Feature of(FeatureKind kind) { return {kind, {}, {}}; }
  static Feature class_label(std::vector<std::string> names);
  static Feature list_of(Feature item);
  static Feature structure(std::vector<std::pair<std::string, Feature>> fields);

  bool is_class_label() const { return !names.empty(); }
  int64_t num_classes() const { return static_cast<int64_t>(names.size()); }
  /// Class labels: the number of a name, the name of a number. Both throw Error for one that there is not.
  int64_t str2int(std::string_view name) const;
  const std::string& int2str(int64_t id) const;
  const Feature& item() const { return children.front().second; }

  /// `string`, `list<int64>`, `{text: string, answer_start: int64}`, `class_label[negative, positive]`.
  std::string text() const;
  friend bool operator==(const Feature&, const Feature&) = default;
};

/// The columns of a data set, in order.
class Features {
 public:
  Features() = default;
  explicit Features(std::vector<std::pair<std::string, Feature>> columns) : columns_(std::move(columns)) {}

  size_t size() const { return columns_.size(); }
  bool has(std::string_view name) const { return index(name).has_value(); }
  /// Throws Error, naming those there are, where there is no such column.
  const Feature& operator[](std::string_view name) const { return columns_[require(name)].second; }
  std::optional<size_t> index(std::string_view name) const;
  size_t require(std::string_view name) const;
  std::vector<std::string> names() const;
  const std::vector<std::pair<std::string, Feature>>& columns() const { return columns_; }
  std::vector<std::pair<std::string, Feature>>& columns() { return columns_; }
  /// `{text: string, label: int64}`.
  std::string text() const { return Feature::structure(columns_).text(); }
  friend bool operator==(const Features&, const Features&) = default;

 private:
  std::vector<std::pair<std::string, Feature>> columns_;
};

/// The type that holds what either holds: null gives way to any, int64 to float64, lists and structs item by item.
/// Nothing where there is none.
std::optional<Feature> common_feature(const Feature& a, const Feature& b);

}  // namespace mica
