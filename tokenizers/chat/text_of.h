#pragma once
// Values as text: Python's str() and repr(), and json.dumps.

#include <optional>
#include <string>
#include <string_view>

#include "mica/tokenizers/chat/value.h"

namespace mica::jinja {

std::string str(const Value& value);
std::string repr(const Value& value);
/// Shortest text that reads back the same, with Python's choice of exponents.
std::string repr(double value);
std::string repr(std::string_view text);

/// Appends str(value).
void append_str(const Value& value, std::string& out);

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent = {};
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false;
};

/// json.dumps. Throws std::string, the problem, for a value that JSON has no form for.
std::string to_json_text(const Value& value, const JsonStyle& style);

}  // namespace mica::jinja
