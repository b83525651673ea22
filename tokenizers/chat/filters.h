#pragma once
// Jinja's filters, with the tojson of transformers, and its tests.

#include <map>
#include <string>
#include <string_view>

#include "mica/tokenizers/chat/runtime.h"

namespace mica::jinja {

/// A filter gets its value as `self`.
using Table = std::map<std::string_view, Native>;

// The filters by subject; each adds its own.
void add_text_filters(Table& table);
void add_number_filters(Table& table);
void add_sequence_filters(Table& table);
void add_selecting_filters(Table& table);

using Test = bool (*)(Runtime& runtime, const Value& value, Args& args);
/// Null for a name that is no test.
Test find_test(const std::string& name);
Native find_filter(const std::string& name);

/// item.attribute, along a path as "function.name" or "0"; `fallback` where a step leads nowhere (missing: none).
Value along_path(Runtime& runtime, Value item, const Value& attribute, const Value& fallback = {});
/// Texts in lower case, for sorting that ignores it.
Value ignore_case(Runtime& runtime, const Value& value);

}  // namespace mica::jinja
