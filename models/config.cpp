#include "mica/models/config.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/json.h"

namespace mica {
namespace {

constexpr int64_t kMaxLabels = 1'000'000;

std::string kind(const Json& value) {
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60);
}

}  // namespace

struct Config::Impl {
  Json values = Json::object();
  Json defaults = Json::object();
  std::vector<std::pair<const char*, const char*>> aliases;
  std::string where = "config";

  std::string_view spelled(std::string_view key) const {
    for (const auto& [common, own] : aliases) {
      if (key == common) return own;
    }
    return key;
  }

  // The value of a key, or null where neither file nor defaults have one. A null in the file stands.
  const Json* find(std::string_view key) const {
    const std::string own(spelled(key));
    for (const Json* source : {&values, &defaults}) {
      if (const auto it = source->find(own); it != source->end()) return it->is_null() ? nullptr : &*it;
      // A file may use the common spelling although the family has one of its own.
      if (own != key) {
        if (const auto it = source->find(std::string(key)); it != source->end() && !it->is_null()) return &*it;
      }
    }
    return nullptr;
  }

  const Json& require(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr) {
      throw Error("key \"" + std::string(spelled(key)) + "\" is missing", where, "add it to the config");
    }
    return *value;
  }

  [[noreturn]] void wrong(std::string_view key, const Json& value, const char* wanted) const {
    throw Error("key \"" + std::string(spelled(key)) + "\" is " + kind(value), where,
                std::string("it must be ") + wanted);
  }

  int64_t integer(std::string_view key, const Json& value) const {
    if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) wrong(key, value, "an integer below 2^63");
    if (value.is_number_integer()) return value.get<int64_t>();
    if (value.is_number_float()) {
      const double number = value.get<double>();
      if (std::abs(number) < 9e15 && number == std::floor(number)) return static_cast<int64_t>(number);
    }
    wrong(key, value, "an integer");
  }

  double number(std::string_view key, const Json& value) const {
    if (!value.is_number()) wrong(key, value, "a number");
    return value.get<double>();
  }
};

Config::Config() : impl_(std::make_shared<Impl>()) {}

Config::Config(std::string_view type, const ConfigSchema& schema) : Config() {
  impl_->values["model_type"] = std::string(type);
  impl_->where = std::string(type) + " config";
  attach(schema);
}

Config Config::from_json(std::string_view text, const std::string& where) {
  Config config;
  config.impl_->values = parse_json(text, where);
  config.impl_->where = where;
  if (!config.impl_->values.is_object()) throw Error("not a JSON object", where, "a config is an object with keys");
  return config;
}

Config::Config(const Config& other) : impl_(other.impl_) {}
// A config that was moved from stays a config: its fields are read through the same values.
Config::Config(Config&& other) noexcept : impl_(other.impl_) {}  // NOLINT(performance-move-constructor-init)
Config& Config::operator=(const Config& other) {
  impl_ = other.impl_;
  return *this;
}
Config& Config::operator=(Config&& other) noexcept {
  impl_ = other.impl_;
  return *this;
}
Config::~Config() = default;

// Copies of a config share their values until one is written to.
Config::Impl& Config::mutable_impl() {
  if (impl_.use_count() > 1) impl_ = std::make_shared<Impl>(*impl_);
  return *impl_;
}

void Config::attach(const ConfigSchema& schema) {
  Impl& impl = mutable_impl();
  impl.defaults = Json::object();
  impl.aliases.clear();
  for (const ConfigSchema* each = &schema; each != nullptr; each = each->base) {  // what comes first counts
    const Json more = parse_json(each->defaults, "defaults of the family");
    impl.defaults.insert(more.begin(), more.end());
    impl.aliases.insert(impl.aliases.end(), each->aliases.begin(), each->aliases.end());
  }
}

const std::string& Config::where() const {
  return impl_->where;
}

bool Config::has(std::string_view key) const {
  return impl_->find(key) != nullptr;
}

int64_t Config::integer(std::string_view key) const {
  if (key == "num_labels") return static_cast<int64_t>(labels().size());
  return impl_->integer(key, impl_->require(key));
}

int64_t Config::integer(std::string_view key, int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}

double Config::number(std::string_view key) const {
  return impl_->number(key, impl_->require(key));
}
double Config::number(std::string_view key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

bool Config::flag(std::string_view key, bool fallback) const {
  const Json* value = impl_->find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) impl_->wrong(key, *value, "true or false");
  return value->get<bool>();
}

std::string Config::text(std::string_view key) const {
  const Json& value = impl_->require(key);
  if (!value.is_string()) impl_->wrong(key, value, "a string");
  return value.get<std::string>();
}

std::string Config::text(std::string_view key, std::string_view fallback) const {
  return has(key) ? text(key) : std::string(fallback);
}

std::vector<std::string> Config::texts(std::string_view key) const {
  std::vector<std::string> result;
  const Json* value = impl_->find(key);
  if (value == nullptr) return result;
  if (!value->is_array()) impl_->wrong(key, *value, "a list of strings");
  for (const Json& entry : *value) {
    if (!entry.is_string()) impl_->wrong(key, *value, "a list of strings");
    result.push_back(entry.get<std::string>());
  }
  return result;
}

std::vector<double> Config::numbers(std::string_view key) const {
  std::vector<double> result;
  const Json* value = impl_->find(key);
  if (value == nullptr) return result;
  if (!value->is_array()) impl_->wrong(key, *value, "a list of numbers");
  for (const Json& entry : *value) {
    if (!entry.is_number() && !entry.is_boolean()) impl_->wrong(key, *value, "a list of numbers");
    result.push_back(entry.is_boolean() ? static_cast<double>(entry.get<bool>()) : entry.get<double>());
  }
  return result;
}

Config Config::object(std::string_view key) const {
  const Json& value = impl_->require(key);
  if (!value.is_object()) impl_->wrong(key, value, "an object");
  Config config;
  config.impl_->values = value;
  config.impl_->where = where() + ", " + std::string(impl_->spelled(key));
  return config;
}

void Config::set(std::string_view key, int64_t value) {
  if (key == "num_labels") {
    if (value < 1 || value > kMaxLabels) {
      throw Error("num_labels is " + std::to_string(value), where(), "use 1 to " + std::to_string(kMaxLabels));
    }
    if (value == static_cast<int64_t>(labels().size())) return;
    std::vector<std::string> names;
    for (int64_t i = 0; i < value; ++i) names.push_back("LABEL_" + std::to_string(i));
    set_labels(names);
    return;
  }
  Impl& impl = mutable_impl();
  impl.values[std::string(impl.spelled(key))] = value;
}

void Config::set(std::string_view key, double value) {
  Impl& impl = mutable_impl();
  impl.values[std::string(impl.spelled(key))] = value;
}

void Config::set(std::string_view key, bool value) {
  Impl& impl = mutable_impl();
  impl.values[std::string(impl.spelled(key))] = value;
}

void Config::set(std::string_view key, std::string_view value) {
  Impl& impl = mutable_impl();
  impl.values[std::string(impl.spelled(key))] = std::string(value);
}

void Config::set(std::string_view key, const std::vector<std::string>& values) {
  Impl& impl = mutable_impl();
  impl.values[std::string(impl.spelled(key))] = values;
}

void Config::remove(std::string_view key) {
  Impl& impl = mutable_impl();
  impl.values.erase(std::string(impl.spelled(key)));
}

void Config::set_json(std::string_view key, std::string_view value) {
  Json parsed;
  try {
    parsed = parse_json(value, std::string(key));
  } catch (const Error&) {
    parsed = std::string(value);
  }
  if (key == "num_labels") {
    set(key, impl_->integer(key, parsed));
    return;
  }
  Impl& impl = mutable_impl();
  impl.values[std::string(impl.spelled(key))] = std::move(parsed);
}

std::string Config::json(std::string_view key) const {
  const Json* value = impl_->find(key);
  return value == nullptr ? "null" : value->dump(-1, ' ', false, Json::error_handler_t::replace);
}

int64_t Config::integer_in(std::string_view key, int64_t low, int64_t high) const {
  const int64_t value = integer(key);
  if (value < low || value > high) {
    throw Error("key \"" + std::string(impl_->spelled(key)) + "\" is " + std::to_string(value), where(),
                "it must be between " + std::to_string(low) + " and " + std::to_string(high));
  }
  return value;
}

double Config::number_in(std::string_view key, double low, double high) const {
  const double value = number(key);
  if (!(value >= low && value <= high)) {
    throw Error("key \"" + std::string(impl_->spelled(key)) + "\" is " + std::to_string(value), where(),
                "it must be between " + std::to_string(low) + " and " + std::to_string(high));
  }
  return value;
}

std::vector<std::string> Config::labels() const {
  const Json* map = impl_->find("id2label");
  std::vector<std::string> names;
  if (map == nullptr) {
    // Old files give the number alone, or the names the other way round only.
    int64_t count = 2;
    if (const Json* number = impl_->find("num_labels")) count = impl_->integer("num_labels", *number);
    if (count < 1 || count > kMaxLabels) {
      throw Error("num_labels is " + std::to_string(count), where(), "use 1 to " + std::to_string(kMaxLabels));
    }
    for (int64_t i = 0; i < count; ++i) names.push_back("LABEL_" + std::to_string(i));
    return names;
  }
  if (!map->is_object() || map->empty() || map->size() > kMaxLabels) {
    impl_->wrong("id2label", *map, "an object of ids and names");
  }
  names.resize(map->size());
  for (const auto& [id, name] : map->items()) {
    size_t index = 0;
    for (const char c : id)
      index = c >= '0' && c <= '9' && index < kMaxLabels ? index * 10 + static_cast<size_t>(c - '0') : kMaxLabels;
    if (id.empty() || index >= names.size() || !name.is_string()) {
      throw Error("id2label has the entry \"" + printable(id, 30) + "\": " + kind(name), where(),
                  "its ids must be 0, 1, ... and its values strings");
    }
    names[index] = name.get<std::string>();
  }
  return names;
}

void Config::set_labels(const std::vector<std::string>& names) {
  if (names.empty()) throw Error("no labels", where(), "give at least one label name");
  Impl& impl = mutable_impl();
  Json by_id = Json::object();
  std::map<std::string, size_t> by_name;
  for (size_t i = 0; i < names.size(); ++i) {
    by_id[std::to_string(i)] = names[i];
    by_name[names[i]] = i;
  }
  impl.values["id2label"] = std::move(by_id);
  impl.values["label2id"] = by_name;
  impl.values.erase("num_labels");
}

std::string Config::to_json() const {
  return dump_json(impl_->values);
}

void Config::save_pretrained(const std::string& folder) const {
  make_directories(folder);
  write_file_atomically(join_path(folder, "config.json"), to_json());
}

}  // namespace mica
