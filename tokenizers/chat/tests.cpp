// Jinja's tests: what may follow `is`.

#include <cmath>

#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/filters.h"
#include "mica/tokenizers/chat/operators.h"
#include "mica/tokenizers/chat/text_of.h"

namespace mica::jinja {
namespace {

const Value& argument(Runtime& runtime, Args& args) {
  if (args.positional.size() != 1 || !args.named.empty()) runtime.fail("this test takes one argument");
  return args.positional[0];
}

template <Operator op>
bool compares(Runtime& runtime, const Value& value, Args& args) {
  return compare(runtime, op, value, argument(runtime, args));
}

int64_t remainder(Runtime& runtime, const Value& value, int64_t divisor) {
  const Value result = arithmetic(runtime, Operator::modulo, value, Value::integer(divisor));
  return result.is_number() && result.as_real() == 0 ? 0 : result.is_number() && result.as_real() == 1 ? 1 : 2;
}

bool divisible(Runtime& runtime, const Value& value, Args& args) {
  return equal(arithmetic(runtime, Operator::modulo, value, argument(runtime, args)), Value::integer(0));
}

bool iterable(Runtime&, const Value& value, Args&) {
  return length_of(value).has_value() || value.is(Kind::iterator) || value.is(Kind::loop);
}

bool sequence(Runtime&, const Value& value, Args&) {
  return length_of(value).has_value() && !value.is(Kind::view);
}

bool callable(Runtime&, const Value& value, Args&) {
  switch (value.kind()) {
    case Kind::macro:
    case Kind::function:
    case Kind::loop:
    case Kind::joiner:
    case Kind::undefined:
      return true;
    default:
      return false;
  }
}

bool is_lower_text(Runtime&, const Value& value, Args&) {
  bool any = false;
  for (const char32_t c : decode(str(value))) {
    if (is_upper(c) || is_title(c)) return false;
    any = any || is_lower(c);
  }
  return any;
}

bool is_upper_text(Runtime&, const Value& value, Args&) {
  bool any = false;
  for (const char32_t c : decode(str(value))) {
    if (is_lower(c) || is_title(c)) return false;
    any = any || is_upper(c);
  }
  return any;
}

// The same object, or the same small value.
bool same_as(Runtime& runtime, const Value& value, Args& args) {
  const Value& other = argument(runtime, args);
  if (value.kind() != other.kind()) return false;
  if (value.pointer()) return value.pointer() == other.pointer() || (value.is(Kind::string) && equal(value, other));
  return equal(value, other);
}

const std::map<std::string_view, Test>& table() {
  static const std::map<std::string_view, Test> tests = {
      {"boolean", [](Runtime&, const Value& v, Args&) { return v.is(Kind::boolean); }},
      {"callable", callable},
      {"defined", [](Runtime&, const Value& v, Args&) { return !v.is(Kind::undefined); }},
      {"undefined", [](Runtime&, const Value& v, Args&) { return v.is(Kind::undefined); }},
      {"divisibleby", divisible},
      {"escaped", [](Runtime&, const Value& v, Args&) { return v.markup(); }},
      {"even", [](Runtime& r, const Value& v, Args&) { return remainder(r, v, 2) == 0; }},
      {"odd", [](Runtime& r, const Value& v, Args&) { return remainder(r, v, 2) == 1; }},
      {"false", [](Runtime&, const Value& v, Args&) { return v.is(Kind::boolean) && !v.as_bool(); }},
      {"true", [](Runtime&, const Value& v, Args&) { return v.is(Kind::boolean) && v.as_bool(); }},
      {"none", [](Runtime&, const Value& v, Args&) { return v.is(Kind::none); }},
      {"float", [](Runtime&, const Value& v, Args&) { return v.is(Kind::real); }},
      {"integer", [](Runtime&, const Value& v, Args&) { return v.is(Kind::integer); }},
      {"number", [](Runtime&, const Value& v, Args&) { return v.is_number(); }},
      {"string", [](Runtime&, const Value& v, Args&) { return v.is(Kind::string); }},
      {"mapping", [](Runtime&, const Value& v, Args&) { return v.is(Kind::dict); }},
      {"iterable", iterable},
      {"sequence", sequence},
      {"lower", is_lower_text},
      {"upper", is_upper_text},
      {"sameas", same_as},
      {"in", compares<Operator::in>},
      {"eq", compares<Operator::equal>},
      {"equalto", compares<Operator::equal>},
      {"==", compares<Operator::equal>},
      {"ne", compares<Operator::not_equal>},
      {"!=", compares<Operator::not_equal>},
      {"lt", compares<Operator::less>},
      {"lessthan", compares<Operator::less>},
      {"<", compares<Operator::less>},
      {"le", compares<Operator::less_equal>},
      {"<=", compares<Operator::less_equal>},
      {"gt", compares<Operator::greater>},
      {"greaterthan", compares<Operator::greater>},
      {">", compares<Operator::greater>},
      {"ge", compares<Operator::greater_equal>},
      {">=", compares<Operator::greater_equal>},
      {"filter",
       [](Runtime&, const Value& v, Args&) { return v.is(Kind::string) && find_filter(v.as_text()) != nullptr; }},
      {"test", [](Runtime&, const Value& v, Args&) { return v.is(Kind::string) && find_test(v.as_text()) != nullptr; }},
  };
  return tests;
}

}  // namespace

Test find_test(const std::string& name) {
  const auto it = table().find(name);
  return it == table().end() ? nullptr : it->second;
}

}  // namespace mica::jinja
