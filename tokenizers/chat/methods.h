#pragma once
// The methods of strings, lists, tuples and dicts that Jinja's immutable sandbox allows.

#include <string>

#include "mica/tokenizers/chat/runtime.h"

namespace mica::jinja {

struct Method {
  const char* name;
  Native run;
};

/// Null where a string, list, tuple or dict has no such method.
const Method* find_text_method(const std::string& name);
const Method* find_container_method(Kind kind, const std::string& name);
/// Whether the method exists but would change its value, which the sandbox forbids.
bool changes_value(Kind kind, const std::string& name);

}  // namespace mica::jinja
