#include "mica/tokenizers/chat/globals.h"

#include <array>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/split.h"
#include "mica/tokenizers/chat/text_of.h"

namespace mica::jinja {
namespace {

Value range(Runtime& runtime, const Value&, Args& args) {
  if (!args.named.empty() || args.positional.empty() || args.positional.size() > 3) {
    runtime.fail("range() takes one, two or three integers");
  }
  for (const Value& bound : args.positional) {
    runtime.check_defined(bound);
    if (!bound.is_integral()) runtime.fail(std::string("range() takes integers, not ") + type_name(bound));
  }
  const auto at = [&](size_t i) { return args.positional[i].as_integer(); };
  if (args.positional.size() == 1) return runtime.range(0, at(0), 1);
  return runtime.range(at(0), at(1), args.positional.size() == 3 ? at(2) : 1);
}

// dict(mapping or pairs, name=value, ...)
std::vector<std::pair<Value, Value>> entries_of(Runtime& runtime, Args& args) {
  std::vector<std::pair<Value, Value>> entries;
  if (args.positional.size() > 1) runtime.fail("dict() takes at most one value by position");
  if (!args.positional.empty()) {
    const Value& given = args.positional[0];
    if (given.is(Kind::dict)) {
      entries = given.dict().entries;
    } else {
      for (const Value& pair : runtime.iterate(given)) {
        const std::vector<Value> two = runtime.iterate(pair);
        if (two.size() != 2) runtime.fail("dict() wants pairs");
        entries.emplace_back(two[0], two[1]);
      }
    }
  }
  for (const auto& [name, value] : args.named) entries.emplace_back(runtime.text(name), value);
  return entries;
}

Value dict(Runtime& runtime, const Value&, Args& args) {
  return runtime.dict(entries_of(runtime, args));
}

Value make_namespace(Runtime& runtime, const Value&, Args& args) {
  std::vector<std::pair<Value, Value>> entries = entries_of(runtime, args);
  for (const auto& [name, value] : entries) {
    if (name.is(Kind::string) && name.as_text().starts_with('_')) {
      runtime.fail("a namespace can't hold \"" + printable(name.as_text(), 40) + "\": the name starts with _");
    }
    if (!hashable(name)) runtime.fail("a namespace's names must be strings");
  }
  return runtime.names(std::move(entries));
}

Value joiner(Runtime& runtime, const Value&, Args& args) {
  const Reader reader(runtime, "joiner", args, {"sep"});
  return runtime.joiner(reader.has(0) ? reader.value(0) : runtime.text(", "));
}

Value cycler(Runtime& runtime, const Value&, Args& args) {
  if (args.positional.empty() || !args.named.empty()) runtime.fail("cycler() takes at least one value");
  return runtime.cycler(args.positional);
}

Value raise_exception(Runtime& runtime, const Value&, Args& args) {
  const Reader reader(runtime, "raise_exception", args, {"message"});
  // The template's author speaks: the message is passed on whole, on one line.
  runtime.fail(printable(str(reader.value(0)), 2000),
               "the template refuses this input: change the messages or options");
}

Value strftime_now(Runtime& runtime, const Value&, Args& args) {
  const Reader reader(runtime, "strftime_now", args, {"format"});
  std::string format = reader.text(0);
  if (format.size() > 1000) runtime.fail("strftime_now with a format of more than 1000 bytes");
  // As Python fills these in for a time without microseconds and zone. Widths, which glibc would take, are refused.
  std::string filled;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 >= format.size()) {
      filled += format[i];
      continue;
    }
    const char letter = format[++i];
    if (letter >= '0' && letter <= '9') runtime.fail("strftime_now with a width in its format");
    if (letter == 'f') {
      filled += "000000";
    } else if (letter != 'z' && letter != 'Z') {
      filled += '%';
      filled += letter;
    }
  }
  if (filled.empty()) return runtime.text("");
  const std::tm now = runtime.now();
  std::array<char, 16384> buffer{};
  const size_t size = std::strftime(buffer.data(), buffer.size(), filled.c_str(), &now);
  return runtime.text(std::string(buffer.data(), size));
}

Value lipsum(Runtime& runtime, const Value&, Args&) {
  runtime.fail("lipsum() is not supported: its text is random");
}

}  // namespace

const std::map<std::string_view, Native>& global_functions() {
  static const std::map<std::string_view, Native> functions = {
      {"range", range},   {"dict", dict},     {"namespace", make_namespace},        {"joiner", joiner},
      {"cycler", cycler}, {"lipsum", lipsum}, {"raise_exception", raise_exception}, {"strftime_now", strftime_now},
  };
  return functions;
}

}  // namespace mica::jinja
