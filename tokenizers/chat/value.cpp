#include "mica/tokenizers/chat/value.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string_view>

namespace mica::jinja {
namespace {

constexpr size_t kIndexFrom = 12;

}  // namespace

Value Value::undefined(std::string why) {
  auto text = std::make_shared<Text>();
  if (Meter* meter = Meter::current()) text->charge = Charge(*meter, kObjectBytes + static_cast<int64_t>(why.size()));
  text->bytes = std::move(why);
  return {Kind::undefined, std::move(text)};
}

Value Value::boolean(bool value) {
  Value result(Kind::boolean);
  result.number_.integer = value ? 1 : 0;
  return result;
}

Value Value::integer(int64_t value) {
  Value result(Kind::integer);
  result.number_.integer = value;
  return result;
}

Value Value::real(double value) {
  Value result(Kind::real);
  result.number_.real = value;
  return result;
}

const std::string& Value::as_text() const {
  return object<Text>().bytes;
}

const std::vector<Value>& Value::items() const {
  return object<Items>().values;
}

const Dict& Value::dict() const {
  return object<Dict>();
}

std::optional<int64_t> exact_integer(double value) {
  // 2^63 is a double; the largest int64_t is not.
  if (!(value >= -0x1p63 && value < 0x1p63) || std::trunc(value) != value) return std::nullopt;
  return static_cast<int64_t>(value);
}

size_t Dict::Hash::operator()(const Value& value) const {
  Meter::tick();
  switch (value.kind()) {
    case Kind::string:
      return std::hash<std::string_view>()(value.as_text());
    case Kind::boolean:
    case Kind::integer:
      return std::hash<int64_t>()(value.as_integer());
    case Kind::real: {
      // Equal numbers are one key, whatever their type.
      const auto whole = exact_integer(value.as_real());
      return whole ? std::hash<int64_t>()(*whole) : std::hash<double>()(value.as_real());
    }
    case Kind::tuple: {
      size_t hash = value.items().size();
      for (const Value& item : value.items()) hash = hash * 1000003 + (*this)(item);
      return hash;
    }
    default:
      return static_cast<size_t>(value.kind());
  }
}

bool Dict::Same::operator()(const Value& a, const Value& b) const {
  return equal(a, b);
}

const Value* Dict::find(const Value& key) const {
  if (!index_.empty()) {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &entries[found->second].second;
  }
  for (const auto& [name, value] : entries) {
    if (equal(name, key)) return &value;
  }
  return nullptr;
}

const Value* Dict::find(std::string_view key) const {
  if (!index_.empty()) {
    auto text = std::make_shared<Text>();
    text->bytes = key;
    return find(Value(Kind::string, std::move(text)));
  }
  for (const auto& [name, value] : entries) {
    if (name.is(Kind::string) && name.as_text() == key) return &value;
  }
  return nullptr;
}

void Dict::set(Value key, Value value) {
  depth = std::max({depth, key.depth() + 1, value.depth() + 1});
  if (const Value* there = find(key)) {
    *const_cast<Value*>(there) = std::move(value);
    return;
  }
  entries.emplace_back(std::move(key), std::move(value));
  if (entries.size() == kIndexFrom) {
    for (size_t i = 0; i < entries.size(); ++i) index_.emplace(entries[i].first, i);
  } else if (entries.size() > kIndexFrom) {
    index_.emplace(entries.back().first, entries.size() - 1);
  }
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.as_integer() != 0;
    case Kind::real:
      return value.as_real() != 0;
    default:
      return length_of(value).value_or(1) != 0;
  }
}

std::optional<int64_t> length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return 0;
    case Kind::string:
      return value.object<Text>().length;
    case Kind::list:
    case Kind::tuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::dict:
      return static_cast<int64_t>(value.dict().entries.size());
    case Kind::range:
      return value.object<Range>().length;
    case Kind::view:
      return length_of(value.object<View>().dict);
    default:
      return std::nullopt;
  }
}

namespace {

bool equal_items(const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(key);
    if (other == nullptr || !equal(value, *other)) return false;
  }
  return true;
}

bool equal_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.as_integer() == b.as_integer();
  if (a.is(Kind::real) && b.is(Kind::real)) return a.as_real() == b.as_real();
  const Value& real = a.is(Kind::real) ? a : b;
  const Value& whole = a.is(Kind::real) ? b : a;
  return exact_integer(real.as_real()) == whole.as_integer();
}

bool equal_ranges(const Range& a, const Range& b) {
  if (a.length != b.length) return false;
  if (a.length == 0) return true;
  return a.start == b.start && (a.length == 1 || a.step == b.step);
}

}  // namespace

bool equal(const Value& a, const Value& b) {
  Meter::tick();
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::string:
      return a.as_text() == b.as_text();
    case Kind::list:
    case Kind::tuple:
      return equal_items(a.items(), b.items());
    case Kind::dict:
      return equal_dicts(a.dict(), b.dict());
    case Kind::range:
      return equal_ranges(a.object<Range>(), b.object<Range>());
    case Kind::function:
      return a.object<Function>().run == b.object<Function>().run &&
             a.object<Function>().self.pointer() == b.object<Function>().self.pointer();
    case Kind::view: {
      const View& left = a.object<View>();
      const View& right = b.object<View>();
      // Views of values have no equality of their own.
      if (left.part == View::Part::values || left.part != right.part) return a.pointer() == b.pointer();
      if (left.part == View::Part::items) return equal_dicts(left.dict.dict(), right.dict.dict());
      const auto& entries = left.dict.dict().entries;
      if (entries.size() != right.dict.dict().entries.size()) return false;
      for (const auto& entry : entries) {
        if (right.dict.dict().find(entry.first) == nullptr) return false;
      }
      return true;
    }
    default:
      return a.pointer() == b.pointer();
  }
}

const char* type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::real:
      return "float";
    case Kind::string:
      return value.markup() ? "Markup" : "str";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return value.object<Items>().group ? "_GroupTuple" : "tuple";
    case Kind::dict:
      return "dict";
    case Kind::range:
      return "range";
    case Kind::iterator:
      return value.object<Iterator>().type;
    case Kind::view:
      switch (value.object<View>().part) {
        case View::Part::keys:
          return "dict_keys";
        case View::Part::values:
          return "dict_values";
        default:
          return "dict_items";
      }
    case Kind::macro:
      return "Macro";
    case Kind::function:
      return value.object<Function>().self.is(Kind::missing) ? "function" : "builtin_function_or_method";
    case Kind::names:
      return "TemplateNamespace";
    case Kind::loop:
      return "LoopContext";
    case Kind::cycler:
      return "Cycler";
    default:
      return "Joiner";
  }
}

bool hashable(const Value& value) {
  if (value.is(Kind::tuple)) {
    for (const Value& item : value.items()) {
      if (!hashable(item)) return false;
    }
    return true;
  }
  return !value.is(Kind::list) && !value.is(Kind::dict) && !value.is(Kind::view);
}

}  // namespace mica::jinja
