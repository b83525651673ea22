// value.name, value[key] and value[a:b:c], in the order that Jinja's sandbox looks.

#include <algorithm>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/loop.h"
#include "mica/tokenizers/chat/methods.h"
#include "mica/tokenizers/chat/operators.h"
#include "mica/tokenizers/chat/text_of.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {
namespace {

Value no_attribute(const Value& value, const std::string& name) {
  const std::string type = value.is(Kind::none) ? "None" : std::string(type_name(value)) + " object";
  return Value::undefined("'" + type + "' has no attribute '" + printable(name, 60) + "'");
}

// A whole number for a subscript.
bool index_of(const Value& key, int64_t length, int64_t* index) {
  if (!key.is_integral()) return false;
  *index = key.as_integer() < 0 ? key.as_integer() + length : key.as_integer();
  return *index >= 0 && *index < length;
}

Value character(Runtime& runtime, const Text& text, int64_t index) {
  if (text.ascii()) return runtime.text(std::string(1, text.bytes[static_cast<size_t>(index)]));
  runtime.meter().step(index / 64);
  const char* p = text.bytes.data();
  for (int64_t i = 0; i < index; ++i) utf8::next(p);
  const char* begin = p;
  utf8::next(p);
  return runtime.text(std::string(begin, p));
}

// value[key] of Python; missing where it would raise KeyError, IndexError or TypeError.
Value element(Runtime& runtime, const Value& value, const Value& key) {
  int64_t index = 0;
  switch (value.kind()) {
    case Kind::dict:
      if (!hashable(key)) return {};
      if (const Value* found =
              key.is(Kind::string) ? value.dict().find(std::string_view(key.as_text())) : value.dict().find(key)) {
        return *found;
      }
      return {};
    case Kind::list:
    case Kind::tuple:
      if (!index_of(key, static_cast<int64_t>(value.items().size()), &index)) return {};
      return value.items()[static_cast<size_t>(index)];
    case Kind::string:
      if (!index_of(key, value.object<Text>().length, &index)) return {};
      return character(runtime, value.object<Text>(), index).set_markup(value.markup());
    case Kind::range: {
      const Range& range = value.object<Range>();
      if (!index_of(key, range.length, &index)) return {};
      return Value::integer(range.start + index * range.step);
    }
    default:
      return {};
  }
}

Value unsafe(const Value& value, const std::string& name) {
  return Value::undefined("access to attribute '" + printable(name, 60) + "' of a value of type " + type_name(value) +
                          " is unsafe: templates may not change their values or look inside Python's objects");
}

Value group_attribute(const Value& value, const std::string& name) {
  if (name == "grouper") return value.items()[0];
  if (name == "list") return value.items()[1];
  return {};
}

Value real_attribute(Runtime& runtime, const Value& value, const std::string& name) {
  if (value.is(Kind::real) && name == "is_integer") {
    const Native run = [](Runtime&, const Value& self, Args&) {
      return Value::boolean(exact_integer(self.as_real()).has_value());
    };
    return runtime.function("is_integer", run, value);
  }
  return {};
}

}  // namespace

Value find_attribute(Runtime& runtime, const Value& value, const std::string& name) {
  if (name.size() > 4 && name.starts_with("__") && name.ends_with("__")) return unsafe(value, name);
  switch (value.kind()) {
    case Kind::string:
      if (const Method* method = find_text_method(name)) return runtime.function(method->name, method->run, value);
      return {};
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
    case Kind::dict:
      if (changes_value(value.kind(), name)) return unsafe(value, name);
      if (value.is(Kind::tuple) && value.object<Items>().group) {
        if (Value found = group_attribute(value, name); !found.is(Kind::missing)) return found;
      }
      if (const Method* method = find_container_method(value.kind(), name)) {
        return runtime.function(method->name, method->run, value);
      }
      return {};
    case Kind::real:
      return real_attribute(runtime, value, name);
    case Kind::names: {
      const Value* found = value.object<Names>().values.find(std::string_view(name));
      return found == nullptr ? Value() : *found;
    }
    case Kind::loop:
      return loop_attribute(runtime, value, name);
    case Kind::cycler:
      return cycler_attribute(runtime, value, name);
    case Kind::macro:
      return macro_attribute(runtime, value, name);
    default:
      return {};
  }
}

Value attribute(Runtime& runtime, const Value& value, const std::string& name) {
  runtime.check_defined(value);
  if (Value found = find_attribute(runtime, value, name); !found.is(Kind::missing)) return found;
  if (value.is(Kind::dict)) {
    if (const Value* found = value.dict().find(std::string_view(name))) return *found;
  }
  return no_attribute(value, name);
}

Value item(Runtime& runtime, const Value& value, const Value& key) {
  runtime.check_defined(value);
  if (Value found = element(runtime, value, key); !found.is(Kind::missing)) return found;
  if (key.is(Kind::string)) {
    if (Value found = find_attribute(runtime, value, key.as_text()); !found.is(Kind::missing)) return found;
    return no_attribute(value, key.as_text());
  }
  if (value.is(Kind::none)) return Value::undefined("None has no element " + printable(repr(key), 60));
  return Value::undefined(std::string(type_name(value)) + " object has no element " + printable(repr(key), 60));
}

Value slice(Runtime& runtime, const Value& value, const Value& start, const Value& stop, const Value& step) {
  runtime.check_defined(value);
  const auto length = length_of(value);
  if (!length || value.is(Kind::dict) || value.is(Kind::view)) {
    runtime.fail(std::string("a value of type ") + type_name(value) + " can't be sliced");
  }
  for (const Value* bound : {&start, &stop, &step}) {
    runtime.check_defined(*bound);
    if (!bound->is(Kind::none) && !bound->is_integral()) runtime.fail("a slice's bounds must be integers");
  }
  const int64_t stride = step.is(Kind::none) ? 1 : step.as_integer();
  if (stride == 0) runtime.fail("a slice's step can't be 0");
  const int64_t lowest = stride > 0 ? 0 : -1, highest = stride > 0 ? *length : *length - 1;
  const auto bound = [&](const Value& given, int64_t fallback) {
    if (given.is(Kind::none)) return fallback;
    int64_t at = given.as_integer();
    if (at < 0) at = at < -*length ? -1 : at + *length;
    if (given.as_integer() < 0 && at < 0) return lowest;
    return std::clamp(at, lowest, highest);
  };
  const int64_t first = bound(start, stride > 0 ? lowest : highest);
  const int64_t last = bound(stop, stride > 0 ? highest : lowest);
  std::vector<int64_t> places;
  // Only one element is left when the step is beyond the length; adding it must not overflow.
  if (stride > 0) {
    for (int64_t i = first; i<last; i = stride> * length ? last : i + stride) places.push_back(i);
  } else {
    for (int64_t i = first; i > last; i = stride < -*length ? last : i + stride) places.push_back(i);
  }
  runtime.meter().step(static_cast<int64_t>(places.size()) / 16);
  if (value.is(Kind::string)) {
    const Text& text = value.object<Text>();
    if (text.ascii() && stride == 1) {
      const auto size = static_cast<size_t>(std::max<int64_t>(last - first, 0));
      return runtime.text(text.bytes.substr(static_cast<size_t>(first), size)).set_markup(value.markup());
    }
    const std::u32string all = decode(text.bytes);
    std::u32string out;
    for (const int64_t i : places) out += all[static_cast<size_t>(i)];
    return runtime.text(out).set_markup(value.markup());
  }
  if (value.is(Kind::range)) {
    const Range& range = value.object<Range>();
    int64_t step_of_slice = 0;
    if (__builtin_mul_overflow(range.step, stride, &step_of_slice)) runtime.fail("an integer beyond 64 bits");
    return runtime.range(range.start + first * range.step, range.start + last * range.step, step_of_slice);
  }
  std::vector<Value> out;
  for (const int64_t i : places) out.push_back(value.items()[static_cast<size_t>(i)]);
  return value.is(Kind::list) ? runtime.list(std::move(out)) : runtime.tuple(std::move(out));
}

}  // namespace mica::jinja
