#pragma once
// The functions that every chat template knows: range, namespace, raise_exception, ...

#include <map>
#include <string>
#include <string_view>

#include "mica/tokenizers/chat/runtime.h"

namespace mica::jinja {

/// By name, as they stand before the template's own variables.
const std::map<std::string_view, Native>& global_functions();

}  // namespace mica::jinja
