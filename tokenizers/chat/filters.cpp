// Finding a filter by its name, and what filters share.

#include "mica/tokenizers/chat/filters.h"

#include "mica/base/error.h"
#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/operators.h"

namespace mica::jinja {

Native find_filter(const std::string& name) {
  static const Table table = [] {
    Table all;
    add_text_filters(all);
    add_number_filters(all);
    add_sequence_filters(all);
    add_selecting_filters(all);
    return all;
  }();
  const auto it = table.find(name);
  return it == table.end() ? nullptr : it->second;
}

Value Runtime::filter(const std::string& name, const Value& value, Args& args) {
  meter_.step();
  const Native run = find_filter(name);
  if (run == nullptr) fail("no filter is called \"" + printable(name, 60) + "\"");
  return run(*this, value, args);
}

bool Runtime::test(const std::string& name, const Value& value, Args& args) {
  meter_.step();
  const Test run = find_test(name);
  if (run == nullptr) fail("no test is called \"" + printable(name, 60) + "\"");
  return run(*this, value, args);
}

Value along_path(Runtime& runtime, Value value, const Value& path, const Value& fallback) {
  const auto step = [&](const Value& key) {
    value = item(runtime, value, key);
    if (value.is(Kind::undefined) && !fallback.is(Kind::missing) && !fallback.is(Kind::none)) value = fallback;
  };
  if (path.is(Kind::none) || path.is(Kind::missing)) return value;
  if (!path.is(Kind::string)) {
    step(path);
    return value;
  }
  const std::string& text = path.as_text();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const bool number = !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == part.npos;
    step(number ? Value::integer(std::stoll(part)) : runtime.text(part));
    begin = end + 1;
  }
  return value;
}

Value ignore_case(Runtime& runtime, const Value& value) {
  return value.is(Kind::string) ? runtime.text(lower(decode(value.as_text()))) : value;
}

}  // namespace mica::jinja
