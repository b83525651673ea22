// Filters that run a filter or test on each element: map, select, reject and their kin.

#include <algorithm>

#include "mica/tokenizers/chat/filters.h"

namespace mica::jinja {
namespace {

// The name that stands first among the arguments; the rest is for what it names.
std::string take_name(Runtime& runtime, Args& args, const char* what) {
  if (args.positional.empty()) runtime.fail(what);
  const Value name = args.positional.front();
  args.positional.erase(args.positional.begin());
  if (!name.is(Kind::string)) runtime.fail("a filter or test is named by a string");
  return name.as_text();
}

Value map(Runtime& runtime, const Value& value, Args& args) {
  std::vector<Value> out;
  if (!truthy(value)) return runtime.iterator({});
  const auto named = [&](const char* name) {
    const auto same = [&](const auto& each) { return each.first == name; };
    return std::find_if(args.named.begin(), args.named.end(), same);
  };
  if (args.positional.empty() && named("attribute") != args.named.end()) {
    const Reader reader(runtime, "map", args, {"attribute", "default"});
    for (const Value& each : runtime.iterate(value)) {
      out.push_back(along_path(runtime, each, reader.value(0), reader.value(1, Value::none())));
    }
    return runtime.iterator(std::move(out));
  }
  const std::string name = take_name(runtime, args, "map wants the name of a filter");
  for (const Value& each : runtime.iterate(value)) {
    Args copy = args;
    out.push_back(runtime.filter(name, each, copy));
  }
  return runtime.iterator(std::move(out));
}

template <bool wanted, bool by_attribute>
Value choose(Runtime& runtime, const Value& value, Args& args) {
  std::vector<Value> out;
  if (!truthy(value)) return runtime.iterator({});
  Value path;
  if (by_attribute) {
    if (args.positional.empty()) runtime.fail("selectattr and rejectattr want the name of an attribute");
    path = args.positional.front();
    args.positional.erase(args.positional.begin());
  }
  std::string test;
  if (!args.positional.empty()) test = take_name(runtime, args, "");
  for (const Value& each : runtime.iterate(value)) {
    const Value looked_at = by_attribute ? along_path(runtime, each, path) : each;
    Args copy = args;
    const bool passes = test.empty() ? truthy(looked_at) : runtime.test(test, looked_at, copy);
    if (passes == wanted) out.push_back(each);
  }
  return runtime.iterator(std::move(out));
}

}  // namespace

void add_selecting_filters(Table& table) {
  table["map"] = map;
  table["select"] = choose<true, false>;
  table["reject"] = choose<false, false>;
  table["selectattr"] = choose<true, true>;
  table["rejectattr"] = choose<false, true>;
}

}  // namespace mica::jinja
