#include "mica/tokenizers/readers/fields.h"

#include <utility>

#include "mica/base/error.h"

namespace mica {

Fields::Fields(const Json& value, std::string file, std::string path)
    : value_(&value), file_(std::move(file)), path_(std::move(path)) {
  if (!value.is_object()) fail("not a JSON object: " + path_, "mend the file or fetch it again");
}

void Fields::fail(const std::string& problem, const std::string& mend) const {
  throw Error(printable(problem, 300), printable(file_, 400), mend);
}

void Fields::wrong(const char* key, const char* expected) const {
  fail(path_ + "." + key + " is not " + expected, "mend the file or fetch it again");
}

bool Fields::has(const char* key) const {
  const auto it = value_->find(key);
  return it != value_->end() && !it->is_null();
}

const Json* Fields::find(const char* key) {
  seen_.insert(key);
  const auto it = value_->find(key);
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

const Json& Fields::need(const char* key) {
  const Json* found = find(key);
  if (found == nullptr) fail("missing key " + path_ + "." + key, "mend the file or fetch it again");
  return *found;
}

std::optional<std::string> Fields::optional_string(const char* key) {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) wrong(key, "a string");
  return found->get<std::string>();
}

std::string Fields::string(const char* key) {
  need(key);
  return *optional_string(key);
}

std::string Fields::string(const char* key, std::string_view fallback) {
  return optional_string(key).value_or(std::string(fallback));
}

std::optional<bool> Fields::optional_boolean(const char* key) {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) wrong(key, "true or false");
  return found->get<bool>();
}

bool Fields::boolean(const char* key) {
  need(key);
  return *optional_boolean(key);
}

bool Fields::boolean(const char* key, bool fallback) {
  return optional_boolean(key).value_or(fallback);
}

std::optional<int64_t> Fields::optional_integer(const char* key, int64_t low, int64_t high) {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  const std::string range = std::to_string(low) + " to " + std::to_string(high);
  if (!found->is_number_integer()) wrong(key, ("a whole number from " + range).c_str());
  if (found->is_number_unsigned() && found->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    wrong(key, ("from " + range).c_str());
  }
  const auto value = found->get<int64_t>();
  if (value < low || value > high) wrong(key, ("from " + range).c_str());
  return value;
}

int64_t Fields::integer(const char* key, int64_t low, int64_t high) {
  need(key);
  return *optional_integer(key, low, high);
}

int64_t Fields::integer(const char* key, int64_t low, int64_t high, int64_t fallback) {
  return optional_integer(key, low, high).value_or(fallback);
}

size_t Fields::choice(const char* key, std::initializer_list<const char*> names) {
  const std::string given = string(key);
  std::string all;
  size_t index = 0;
  for (const char* name : names) {
    if (given == name) return index;
    all += (index++ > 0 ? ", " : "") + std::string(name);
  }
  fail(path_ + "." + key + " is \"" + printable(given, 60) + "\"", "known are: " + all);
}

size_t Fields::choice(const char* key, std::initializer_list<const char*> names, size_t fallback) {
  return find(key) == nullptr ? fallback : choice(key, names);
}

Fields Fields::object(const char* key) {
  return {need(key), file_, path_ + "." + key};
}

std::optional<Fields> Fields::optional_object(const char* key) {
  const Json* found = find(key);
  if (found == nullptr) return std::nullopt;
  return Fields(*found, file_, path_ + "." + key);
}

std::vector<Fields> Fields::objects(const char* key) {
  const Json& array = need(key);
  if (!array.is_array()) wrong(key, "an array");
  std::vector<Fields> all;
  for (size_t i = 0; i < array.size(); ++i) {
    all.emplace_back(array[i], file_, path_ + "." + key + "[" + std::to_string(i) + "]");
  }
  return all;
}

const Json& Fields::raw(const char* key) {
  return need(key);
}

const Json& Fields::optional_raw(const char* key) {
  static const Json null;
  const Json* value = find(key);
  return value != nullptr ? *value : null;
}

std::string Fields::string_pattern(const char* key) {
  Fields pattern = object(key);
  if (pattern.has("Regex")) {
    fail("regular expression in " + pattern.path(), "this version executes {\"String\": ...} patterns only");
  }
  std::string text = pattern.string("String");
  pattern.finish();
  return text;
}

void Fields::finish() const {
  for (const auto& [key, value] : value_->items()) {
    if (seen_.find(key) == seen_.end()) {
      fail("unknown key " + path_ + "." + printable(key, 60), "remove it, or use a version of mica that knows it");
    }
  }
}

}  // namespace mica
