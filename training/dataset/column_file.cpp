#include "mica/training/dataset/column_file.h"

#include <array>
#include <utility>

#include "mica/base/error.h"

namespace mica {
namespace {

constexpr std::array<std::pair<FeatureKind, const char*>, 7> kNames{{{FeatureKind::null, "null"},
                                                                     {FeatureKind::boolean, "bool"},
                                                                     {FeatureKind::int64, "int64"},
                                                                     {FeatureKind::float64, "float64"},
                                                                     {FeatureKind::string, "string"},
                                                                     {FeatureKind::list, "list"},
                                                                     {FeatureKind::structure, "struct"}}};

[[noreturn]] void damaged(const std::string& problem, const std::string& where) {
  throw Error(problem, printable(where, 400), "make the data set again, and save it");
}

const Json& member(const Json& json, const char* name, const std::string& where) {
  if (!json.is_object() || !json.contains(name)) damaged("a type without \"" + std::string(name) + "\"", where);
  return json.at(name);
}

std::string child_name(const Feature& type, const std::string& name, size_t i) {
  return name + (type.kind == FeatureKind::list ? ".item" : "." + std::to_string(i));
}

const Json& child_type(const Json& type, const Feature& feature, size_t i) {
  return feature.kind == FeatureKind::list ? type.at("item") : type.at("fields").at(i);
}

template <typename T>
Table<T> table_of(const SafeTensors& file, const std::string& name, DType dtype, int64_t size) {
  const TensorEntry* entry = file.find(name);
  if (entry == nullptr) damaged("the tensor \"" + printable(name) + "\" is missing", file.path());
  const auto tensor = std::make_shared<const Tensor>(file.tensor(name));
  if (tensor->dtype() != dtype || tensor->rank() != 1 || (size >= 0 && tensor->numel() != size)) {
    damaged(
        "the tensor \"" + printable(name) + "\" is not " + std::to_string(size) + " " + std::string(mica::name(dtype)),
        file.path());
  }
  return {std::span(static_cast<const T*>(tensor->raw_data()), static_cast<size_t>(tensor->numel())), tensor};
}

}  // namespace

Json feature_json(const Feature& feature) {
  if (feature.is_class_label()) return {{"type", "class_label"}, {"names", feature.names}};
  Json json = Json::object();
  for (const auto& [kind, name] : kNames) {
    if (kind == feature.kind) json["type"] = name;
  }
  if (feature.kind == FeatureKind::list) json["item"] = feature_json(feature.item());
  if (feature.kind == FeatureKind::structure) {
    json["fields"] = Json::array();
    for (const auto& [name, child] : feature.children) {
      Json field = feature_json(child);
      field["name"] = name;
      json["fields"].push_back(std::move(field));
    }
  }
  return json;
}

Feature feature_of(const Json& json, const std::string& where) {
  const Json& type = member(json, "type", where);
  if (type == "class_label") {
    const Json& names = member(json, "names", where);
    std::vector<std::string> classes;
    if (!names.is_array() || names.empty()) damaged("class labels without names", where);
    for (const Json& name : names) {
      if (!name.is_string()) damaged("a class whose name is no text", where);
      classes.push_back(name.get<std::string>());
    }
    return Feature::class_label(std::move(classes));
  }
  for (const auto& [kind, name] : kNames) {
    if (type != name) continue;
    if (kind == FeatureKind::list) return Feature::list_of(feature_of(member(json, "item", where), where));
    Feature feature = Feature::of(kind);
    if (kind != FeatureKind::structure) return feature;
    const Json& fields = member(json, "fields", where);
    if (!fields.is_array() || fields.size() > kMaxFields) damaged("a struct without a list of fields", where);
    for (const Json& field : fields) {
      const Json& field_name = member(field, "name", where);
      if (!field_name.is_string()) damaged("a field whose name is no text", where);
      std::string text = field_name.get<std::string>();
      for (const auto& [known, child] : feature.children) {
        if (known == text) damaged("the field \"" + printable(text) + "\" twice", where);
      }
      feature.children.emplace_back(std::move(text), feature_of(field, where));
    }
    return feature;
  }
  damaged("an unknown type, " + printable(type.dump()), where);
}

Feature without_names(const Feature& feature) {
  Feature plain = feature;
  plain.names.clear();
  for (auto& [name, child] : plain.children) child = without_names(child);
  return plain;
}

Json write_column(const Column& column, const std::string& name, NamedTensors* tensors) {
  const auto add = [&](const char* part, const auto& table) {
    using T = std::remove_cvref_t<decltype(table[0])>;
    tensors->emplace_back(name + "." + part, Tensor::from(std::span<const T>(table.data(), table.size()),
                                                          Shape{static_cast<int64_t>(table.size())}));
  };
  // Every column is as long as some tensor of it, so that no file can promise rows that it doesn't hold.
  const bool has_cells =
      column.type.kind != FeatureKind::null && (column.type.kind != FeatureKind::structure || !column.children.empty());
  if (!column.valid.empty()) {
    add("valid", column.valid);
  } else if (!has_cells) {
    add("valid", std::vector<uint8_t>(static_cast<size_t>(column.rows), column.type.kind == FeatureKind::null ? 0 : 1));
  }
  switch (column.type.kind) {
    case FeatureKind::boolean:
      add("booleans", column.booleans);
      break;
    case FeatureKind::int64:
      add("integers", column.integers);
      break;
    case FeatureKind::float64:
      add("numbers", column.numbers);
      break;
    case FeatureKind::string:
      add("offsets", column.offsets);
      tensors->emplace_back(
          name + ".bytes",
          Tensor::from(std::span(reinterpret_cast<const uint8_t*>(column.bytes.data()), column.bytes.size()),
                       Shape{static_cast<int64_t>(column.bytes.size())}));
      break;
    case FeatureKind::list:
      add("offsets", column.offsets);
      break;
    default:
      break;
  }
  Json type = feature_json(column.type);
  type["rows"] = column.rows;
  for (size_t i = 0; i < column.children.size(); ++i) {
    Json child = write_column(*column.children[i], child_name(column.type, name, i), tensors);
    if (column.type.kind == FeatureKind::list) {
      type["item"] = std::move(child);
    } else {
      child["name"] = column.type.children[i].first;
      type["fields"][i] = std::move(child);
    }
  }
  return type;
}

std::shared_ptr<const Column> read_column(const SafeTensors& file, const std::string& name, const Json& type) {
  const auto column = std::make_shared<Column>();
  column->type = feature_of(type, file.path());
  if (column->type.is_class_label()) damaged("a column of class labels in a file of rows", file.path());
  const Json& rows = member(type, "rows", file.path());
  if (!rows.is_number_integer() || rows < 0 || rows > INT64_MAX - 1)
    damaged("a number of rows out of range", file.path());
  column->rows = rows.get<int64_t>();
  const FeatureKind kind = column->type.kind;
  const bool has_cells =
      kind != FeatureKind::null && (kind != FeatureKind::structure || !column->type.children.empty());
  if (!has_cells || file.find(name + ".valid") != nullptr) {
    column->valid = table_of<uint8_t>(file, name + ".valid", DType::uint8, column->rows);
  }
  switch (kind) {
    case FeatureKind::boolean:
      column->booleans = table_of<uint8_t>(file, name + ".booleans", DType::uint8, column->rows);
      break;
    case FeatureKind::int64:
      column->integers = table_of<int64_t>(file, name + ".integers", DType::int64, column->rows);
      break;
    case FeatureKind::float64:
      column->numbers = table_of<double>(file, name + ".numbers", DType::float64, column->rows);
      break;
    case FeatureKind::string:
      column->bytes = table_of<char>(file, name + ".bytes", DType::uint8, -1);
      [[fallthrough]];
    case FeatureKind::list:
      column->offsets = table_of<int64_t>(file, name + ".offsets", DType::int64, column->rows + 1);
      break;
    default:
      break;
  }
  for (size_t i = 0; i < column->type.children.size(); ++i) {
    std::shared_ptr<const Column> child =
        read_column(file, child_name(column->type, name, i), child_type(type, column->type, i));
    if (kind == FeatureKind::structure && child->rows != column->rows) {
      damaged("a field of another number of rows than its struct", file.path());
    }
    column->children.push_back(std::move(child));
  }
  return column;
}

}  // namespace mica
