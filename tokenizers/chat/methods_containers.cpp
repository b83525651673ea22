// The methods of list, tuple and dict.

#include <algorithm>
#include <array>

#include "mica/tokenizers/chat/methods.h"

namespace mica::jinja {
namespace {

Value index(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "index", args, {"value", "start", "stop"});
  const std::vector<Value> items = runtime.iterate(self);
  const auto length = static_cast<int64_t>(items.size());
  const auto place = [&](size_t i, int64_t fallback) {
    const int64_t at = reader.integer(i, fallback);
    return std::clamp<int64_t>(at < 0 ? std::max(at, -length) + length : at, 0, length);
  };
  const int64_t stop = place(2, length);
  for (int64_t i = place(1, 0); i < stop; ++i) {
    if (equal(items[static_cast<size_t>(i)], reader.value(0))) return Value::integer(i);
  }
  runtime.fail("index() did not find its value");
}

Value count(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "count", args, {"value"});
  const std::vector<Value> items = runtime.iterate(self);
  return Value::integer(
      std::count_if(items.begin(), items.end(), [&](const Value& v) { return equal(v, reader.value(0)); }));
}

Value copy_list(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "copy", args, {});
  return runtime.list(self.items());
}

template <View::Part part>
Value view(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "dict method", args, {});
  return runtime.view(part, self);
}

Value get(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "get", args, {"key", "default"});
  if (!hashable(reader.value(0)))
    runtime.fail(std::string("a value of type ") + type_name(reader.value(0)) + " can't be a key");
  const Value* found = self.dict().find(reader.value(0));
  return found != nullptr ? *found : reader.value(1, Value::none());
}

Value copy_dict(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "copy", args, {});
  return runtime.dict(self.dict().entries);
}

constexpr std::array<Method, 3> kListMethods = {{{"index", index}, {"count", count}, {"copy", copy_list}}};

constexpr std::array<Method, 5> kDictMethods = {{{"keys", view<View::Part::keys>},
                                                 {"values", view<View::Part::values>},
                                                 {"items", view<View::Part::items>},
                                                 {"get", get},
                                                 {"copy", copy_dict}}};

template <size_t n>
const Method* find_in(const std::array<Method, n>& methods, const std::string& name) {
  const auto* it = std::find_if(methods.begin(), methods.end(), [&](const Method& m) { return name == m.name; });
  return it == methods.end() ? nullptr : it;
}

}  // namespace

const Method* find_container_method(Kind kind, const std::string& name) {
  if (kind == Kind::dict) return find_in(kDictMethods, name);
  if (kind != Kind::list && name == "copy") return nullptr;
  return find_in(kListMethods, name);
}

bool changes_value(Kind kind, const std::string& name) {
  static constexpr std::array<const char*, 8> list = {"append", "clear", "pop",    "reverse",
                                                      "insert", "sort",  "extend", "remove"};
  static constexpr std::array<const char*, 5> dict = {"clear", "pop", "popitem", "setdefault", "update"};
  const auto same = [&](const char* other) { return name == other; };
  if (kind == Kind::list) return std::any_of(list.begin(), list.end(), same);
  return kind == Kind::dict && std::any_of(dict.begin(), dict.end(), same);
}

}  // namespace mica::jinja
