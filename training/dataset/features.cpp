#include "mica/training/dataset/features.h"

#include <algorithm>

#include "mica/base/error.h"

namespace mica {

Feature Feature::class_label(std::vector<std::string> names) {
  return {FeatureKind::int64, std::move(names), {}};
}

Feature Feature::list_of(Feature item) {
  Feature list = of(FeatureKind::list);
  list.children.emplace_back("", std::move(item));
  return list;
}

Feature Feature::structure(std::vector<std::pair<std::string, Feature>> fields) {
  return {FeatureKind::structure, {}, std::move(fields)};
}

int64_t Feature::str2int(std::string_view name) const {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    throw Error("there is no class named \"" + printable(name) + "\"", text(), "use one of the names");
  }
  return found - names.begin();
}

const std::string& Feature::int2str(int64_t id) const {
  if (id < 0 || id >= num_classes()) {
    throw Error("there is no class " + std::to_string(id), text(), "classes are counted from 0");
  }
  return names[static_cast<size_t>(id)];
}

std::string Feature::text() const {
  std::string inner;
  if (is_class_label()) {
    for (const std::string& name : names) inner += (inner.empty() ? "" : ", ") + printable(name);
    return "class_label[" + inner + "]";
  }
  switch (kind) {
    case FeatureKind::null:
      return "null";
    case FeatureKind::boolean:
      return "bool";
    case FeatureKind::int64:
      return "int64";
    case FeatureKind::float64:
      return "float64";
    case FeatureKind::string:
      return "string";
    case FeatureKind::list:
      return "list<" + item().text() + ">";
    case FeatureKind::structure:
      break;
  }
  for (const auto& [name, child] : children) {
    inner += (inner.empty() ? "" : ", ") + printable(name) + ": " + child.text();
  }
  return "{" + inner + "}";
}

std::optional<size_t> Features::index(std::string_view name) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].first == name) return i;
  }
  return std::nullopt;
}

size_t Features::require(std::string_view name) const {
  if (const std::optional<size_t> found = index(name)) return *found;
  std::string all;
  for (const auto& [each, feature] : columns_) all += (all.empty() ? "" : ", ") + printable(each);
  throw Error("there is no column \"" + printable(name) + "\"", "data set",
              all.empty() ? "the data set has no columns" : "there are: " + all);
}

std::vector<std::string> Features::names() const {
  std::vector<std::string> result;
  for (const auto& [name, feature] : columns_) result.push_back(name);
  return result;
}

std::optional<Feature> common_feature(const Feature& a, const Feature& b) {
  if (a == b || b.kind == FeatureKind::null) return a;
  if (a.kind == FeatureKind::null) return b;
  const auto is_number = [](const Feature& each) {
    return (each.kind == FeatureKind::int64 && !each.is_class_label()) || each.kind == FeatureKind::float64;
  };
  if (a.kind != b.kind) {
    return is_number(a) && is_number(b) ? std::optional(Feature::of(FeatureKind::float64)) : std::nullopt;
  }
  if (a.names != b.names) return std::nullopt;
  if (a.kind == FeatureKind::list) {
    std::optional<Feature> item = common_feature(a.item(), b.item());
    return item ? std::optional(Feature::list_of(std::move(*item))) : std::nullopt;
  }
  Feature both = a;
  for (const auto& [name, child] : b.children) {
    const auto found =
        std::find_if(both.children.begin(), both.children.end(), [&](const auto& each) { return each.first == name; });
    if (found == both.children.end()) {
      both.children.emplace_back(name, child);
    } else if (std::optional<Feature> merged = common_feature(found->second, child)) {
      found->second = std::move(*merged);
    } else {
      return std::nullopt;
    }
  }
  return both;
}

}  // namespace mica
