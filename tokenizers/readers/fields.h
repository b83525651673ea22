#pragma once
// Reading one JSON object of a tokenizer file: every field typed and named in errors, none left unread.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mica/base/json.h"

namespace mica {

class Fields {
 public:
  /// `file` and `path` ("normalizer.normalizers[1]") name the object in errors. Throws Error unless it is an object.
  Fields(const Json& value, std::string file, std::string path);

  const std::string& file() const { return file_; }
  const std::string& path() const { return path_; }
  const Json& json() const { return *value_; }
  bool has(const char* key) const;  ///< present and not null

  std::string string(const char* key);
  std::string string(const char* key, std::string_view fallback);
  std::optional<std::string> optional_string(const char* key);
  bool boolean(const char* key);
  bool boolean(const char* key, bool fallback);
  std::optional<bool> optional_boolean(const char* key);
  int64_t integer(const char* key, int64_t low, int64_t high);
  int64_t integer(const char* key, int64_t low, int64_t high, int64_t fallback);
  std::optional<int64_t> optional_integer(const char* key, int64_t low, int64_t high);
  /// One of the names; the result is its position.
  size_t choice(const char* key, std::initializer_list<const char*> names);
  size_t choice(const char* key, std::initializer_list<const char*> names, size_t fallback);
  Fields object(const char* key);
  std::optional<Fields> optional_object(const char* key);
  /// The elements of an array of objects.
  std::vector<Fields> objects(const char* key);
  const Json& raw(const char* key);
  const Json& optional_raw(const char* key);  ///< a null where it is missing

  /// What a Replace or Split looks for: {"String": "..."}; a {"Regex": ...} is refused.
  std::string string_pattern(const char* key);
  /// Marks a key as known whatever it holds.
  void ignore(const char* key) { seen_.insert(key); }
  /// Throws when the object has a key that nobody asked for.
  void finish() const;

  [[noreturn]] void fail(const std::string& problem, const std::string& mend) const;

 private:
  const Json* find(const char* key);
  const Json& need(const char* key);
  [[noreturn]] void wrong(const char* key, const char* expected) const;

  const Json* value_;
  std::string file_, path_;
  std::set<std::string, std::less<>> seen_;
};

}  // namespace mica
