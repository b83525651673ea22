#pragma once
// JSON as published files use it, read with limits: no duplicate keys, bounded depth, valid UTF-8, exact numbers.

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace mica {

/// Keeps the order of keys, so that a file that is read and written back keeps its shape.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  int max_depth = 64;
  int64_t max_values = 20'000'000;  ///< keys and values together
};

/// Parses one JSON text. `where` names the file in errors. Throws Error for anything malformed, for a key that occurs
/// twice in one object, for too deep nesting, or for trailing text. `NaN`, `Infinity` and `-Infinity`, which Python's
/// writer emits, are read as numbers.
Json parse_json(std::string_view text, const std::string& where, JsonLimits limits = {});

/// read_file, then parse_json.
Json read_json_file(const std::string& path, JsonLimits limits = {});

/// Text of the value with two-space indentation and a final newline, as transformers writes it (non-ASCII kept;
/// infinite and undefined numbers as the bare words that parse_json reads; invalid UTF-8 replaced).
std::string dump_json(const Json& value);

}  // namespace mica
