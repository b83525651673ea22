#pragma once
// Python's two ways to put values into text: "%s" % x, and "{}".format(x).

#include "mica/tokenizers/chat/runtime.h"

namespace mica::jinja {

Value percent_format(Runtime& runtime, const Value& format, const Value& values);
Value brace_format(Runtime& runtime, const Value& format, Args& args);

}  // namespace mica::jinja
