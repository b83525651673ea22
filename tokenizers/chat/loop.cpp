#include "mica/tokenizers/chat/loop.h"

#include <utility>

namespace mica::jinja {

std::optional<Value> LoopSource::pull() {
  for (;;) {
    std::optional<Value> value;
    if (iterator) {
      if (iterator->next < iterator->values.size()) value = iterator->values[iterator->next++];
    } else if (next < values.size()) {
      value = values[next++];
    }
    if (!value || !passes || passes(*value)) return value;
  }
}

bool Loop::advance() {
  std::optional<Value> value = ahead ? std::exchange(ahead, std::nullopt) : source.pull();
  if (!value) return false;
  ++index0;
  before = std::exchange(current, std::move(value));
  return true;
}

bool Loop::peek() {
  if (!ahead) ahead = source.pull();
  return ahead.has_value();
}

int64_t Loop::count() {
  if (length) return *length;
  // Filtered or from an iterator: what is left is drawn, and gone through from here on.
  LoopSource rest;
  while (auto value = source.pull()) rest.values.push_back(std::move(*value));
  length = static_cast<int64_t>(rest.values.size()) + index0 + 1 + (ahead ? 1 : 0);
  source = std::move(rest);
  return *length;
}

namespace {

Value cycle(Runtime& runtime, const Value& self, Args& args) {
  if (args.positional.empty()) runtime.fail("loop.cycle() needs values");
  const auto index = static_cast<size_t>(self.object<Loop>().index0);
  return args.positional[index % args.positional.size()];
}

Value changed(Runtime&, const Value& self, Args& args) {
  Loop& loop = self.object<Loop>();
  const auto same = [&] {
    if (!loop.has_changed || loop.last_changed.size() != args.positional.size()) return false;
    for (size_t i = 0; i < args.positional.size(); ++i) {
      if (!equal(loop.last_changed[i], args.positional[i])) return false;
    }
    return true;
  };
  if (same()) return Value::boolean(false);
  loop.last_changed = args.positional;
  loop.has_changed = true;
  return Value::boolean(true);
}

Value next(Runtime&, const Value& self, Args&) {
  Cycler& cycler = self.object<Cycler>();
  const Value value = cycler.values[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.values.size();
  return value;
}

Value reset(Runtime&, const Value& self, Args&) {
  self.object<Cycler>().position = 0;
  return Value::none();
}

}  // namespace

Value loop_attribute(Runtime& runtime, const Value& value, const std::string& name) {
  Loop& loop = value.object<Loop>();
  if (name == "index") return Value::integer(loop.index0 + 1);
  if (name == "index0") return Value::integer(loop.index0);
  if (name == "first") return Value::boolean(loop.index0 == 0);
  if (name == "last") return Value::boolean(!loop.peek());
  if (name == "length") return Value::integer(loop.count());
  if (name == "revindex") return Value::integer(loop.count() - loop.index0);
  if (name == "revindex0") return Value::integer(loop.count() - loop.index0 - 1);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem") return loop.before ? *loop.before : Value::undefined("there is no previous item");
  if (name == "nextitem") return loop.peek() ? *loop.ahead : Value::undefined("there is no next item");
  if (name == "cycle") return runtime.function("cycle", cycle, value);
  if (name == "changed") return runtime.function("changed", changed, value);
  return {};
}

Value cycler_attribute(Runtime& runtime, const Value& value, const std::string& name) {
  const Cycler& cycler = value.object<Cycler>();
  if (name == "current") return cycler.values[cycler.position];
  if (name == "pos") return Value::integer(static_cast<int64_t>(cycler.position));
  if (name == "next") return runtime.function("next", next, value);
  if (name == "reset") return runtime.function("reset", reset, value);
  return {};
}

Value macro_attribute(Runtime& runtime, const Value& value, const std::string& name) {
  const Macro& macro = value.object<Macro>();
  if (name == "name") return runtime.text(macro.name);
  if (name == "catch_kwargs") return Value::boolean(macro.statement->has_kwargs);
  if (name == "catch_varargs") return Value::boolean(macro.statement->has_varargs);
  if (name == "caller") return Value::boolean(macro.statement->has_caller);
  if (name == "arguments") {
    std::vector<Value> names;
    for (const auto& parameter : macro.statement->parameters) names.push_back(runtime.text(parameter.name));
    return runtime.tuple(std::move(names));
  }
  return {};
}

}  // namespace mica::jinja
