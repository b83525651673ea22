#pragma once
// Internal: cells from and to JSON.

#include <string>

#include "mica/base/json.h"
#include "mica/training/dataset/value.h"

namespace mica {

/// Integers that fit 64 signed bits stay integers; throws Error for larger ones.
Value value_from_json(const Json& json);

/// Lists and texts are cut after `max_items` items, or 4 x as many bytes (0: never).
Json value_to_json(const Value& value, size_t max_items = 0);

/// On one line; invalid UTF-8 is replaced.
std::string dump_line(const Json& json);

}  // namespace mica
