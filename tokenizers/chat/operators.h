#pragma once
// Python's operators, attributes and subscripts.

#include <string>

#include "mica/tokenizers/chat/runtime.h"
#include "mica/tokenizers/chat/syntax.h"

namespace mica::jinja {

Value arithmetic(Runtime& runtime, Operator op, const Value& a, const Value& b);
bool compare(Runtime& runtime, Operator op, const Value& a, const Value& b);
/// a < b; fails for values that have no order.
bool less(Runtime& runtime, const Value& a, const Value& b);
bool contains(Runtime& runtime, const Value& container, const Value& item);
Value negative(Runtime& runtime, const Value& value);
/// Values side by side, as text.
Value concat(Runtime& runtime, const std::vector<Value>& values);

/// value.name: a method or attribute first, then an element.
Value attribute(Runtime& runtime, const Value& value, const std::string& name);
/// value[key]: an element first, then an attribute.
Value item(Runtime& runtime, const Value& value, const Value& key);
/// value[start:stop:step]; a bound that is left out is none.
Value slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop, const Value& step);

/// The text with &, <, >, ' and " as HTML writes them; marked text stays.
Value escape(Runtime& runtime, const Value& value);

/// A method or attribute of a value; missing where there is none, undefined where the sandbox forbids it.
Value find_attribute(Runtime& runtime, const Value& value, const std::string& name);

}  // namespace mica::jinja
