#include "mica/training/dataset/value_json.h"

#include <algorithm>
#include <cmath>

namespace mica {

Value value_from_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return json.get<bool>();
    case Json::value_t::number_integer:
      return json.get<int64_t>();
    case Json::value_t::number_unsigned:
      return json.get<uint64_t>();
    case Json::value_t::number_float:
      return json.get<double>();
    case Json::value_t::string:
      return json.get<std::string>();
    case Json::value_t::array: {
      Value::List items;
      items.reserve(json.size());
      for (const Json& each : json) items.push_back(value_from_json(each));
      return items;
    }
    case Json::value_t::object: {
      Value::Struct fields;
      for (const auto& [name, each] : json.items()) fields.emplace_back(name, value_from_json(each));
      return Value::structure(std::move(fields));
    }
    default:
      return {};
  }
}

Json value_to_json(const Value& value, size_t max_items) {
  switch (value.kind()) {
    case ValueKind::null:
      return nullptr;
    case ValueKind::boolean:
      return value.as_bool();
    case ValueKind::integer:
      return value.as_int();
    case ValueKind::number:
      return value.as_double();
    case ValueKind::string: {
      const std::string_view text = value.as_string();
      if (max_items == 0 || text.size() <= 4 * max_items) return std::string(text);
      return std::string(text.substr(0, 4 * max_items)) + "...";
    }
    case ValueKind::integers:
    case ValueKind::numbers:
    case ValueKind::list: {
      Json array = Json::array();
      const size_t size = static_cast<size_t>(value.size());
      const size_t shown = max_items == 0 ? size : std::min(size, max_items);
      for (size_t i = 0; i < shown; ++i) array.push_back(value_to_json(value.at(static_cast<int64_t>(i)), max_items));
      if (shown < size) array.push_back("...");
      return array;
    }
    case ValueKind::structure: {
      Json object = Json::object();
      for (const auto& [name, each] : value.as_struct()) object[name] = value_to_json(each, max_items);
      return object;
    }
  }
  return nullptr;
}

std::string dump_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace mica
