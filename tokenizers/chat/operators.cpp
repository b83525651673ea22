#include "mica/tokenizers/chat/operators.h"

#include <cmath>
#include <limits>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/format.h"
#include "mica/tokenizers/chat/text_of.h"

namespace mica::jinja {
namespace {

const char* sign(Operator op) {
  switch (op) {
    case Operator::add:
      return "+";
    case Operator::subtract:
      return "-";
    case Operator::multiply:
      return "*";
    case Operator::divide:
      return "/";
    case Operator::floor_divide:
      return "//";
    case Operator::modulo:
      return "%";
    case Operator::power:
      return "**";
    case Operator::less:
      return "<";
    case Operator::less_equal:
      return "<=";
    case Operator::greater:
      return ">";
    default:
      return ">=";
  }
}

[[noreturn]] void no_operator(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  runtime.check_defined(a);
  runtime.check_defined(b);
  runtime.fail(std::string("\"") + sign(op) + "\" can't take " + type_name(a) + " and " + type_name(b));
}

[[noreturn]] void overflow(Runtime& runtime) {
  runtime.fail("an integer beyond 64 bits");
}

Value power(Runtime& runtime, int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) runtime.fail("0 to a negative power");
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) overflow(runtime);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow(runtime);
  }
  return Value::integer(result);
}

Value integers(Runtime& runtime, Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case Operator::add:
      if (__builtin_add_overflow(a, b, &result)) overflow(runtime);
      return Value::integer(result);
    case Operator::subtract:
      if (__builtin_sub_overflow(a, b, &result)) overflow(runtime);
      return Value::integer(result);
    case Operator::multiply:
      if (__builtin_mul_overflow(a, b, &result)) overflow(runtime);
      return Value::integer(result);
    case Operator::power:
      return power(runtime, a, b);
    default:
      break;
  }
  if (b == 0) runtime.fail("division by zero");
  if (op == Operator::divide) return Value::real(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) {
    if (op == Operator::modulo) return Value::integer(0);
    if (a == std::numeric_limits<int64_t>::min()) overflow(runtime);
    return Value::integer(-a);
  }
  // Rounded down, so that the remainder has the divisor's sign.
  int64_t quotient = a / b, remainder = a % b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) {
    --quotient;
    remainder += b;
  }
  return Value::integer(op == Operator::modulo ? remainder : quotient);
}

Value reals(Runtime& runtime, Operator op, double a, double b) {
  switch (op) {
    case Operator::add:
      return Value::real(a + b);
    case Operator::subtract:
      return Value::real(a - b);
    case Operator::multiply:
      return Value::real(a * b);
    case Operator::power: {
      if (a == 0 && b < 0) runtime.fail("0 to a negative power");
      if (a < 0 && std::trunc(b) != b && std::isfinite(b)) runtime.fail("complex numbers are not supported");
      const double result = std::pow(a, b);
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) runtime.fail("a number out of range");
      return Value::real(result);
    }
    default:
      break;
  }
  if (b == 0) runtime.fail("division by zero");
  if (op == Operator::divide) return Value::real(a / b);
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0) {
    if ((remainder < 0) != (b < 0)) {
      remainder += b;
      quotient -= 1;
    }
  } else {
    remainder = std::copysign(0.0, b);
  }
  if (op == Operator::modulo) return Value::real(remainder);
  if (quotient == 0) return Value::real(std::copysign(0.0, a / b));
  const double floor = std::floor(quotient);
  return Value::real(quotient - floor > 0.5 ? floor + 1 : floor);
}

Value repeat(Runtime& runtime, const Value& value, int64_t times) {
  times = std::max<int64_t>(times, 0);
  const bool is_text = value.is(Kind::string);
  const int64_t each = is_text ? static_cast<int64_t>(value.as_text().size())
                               : static_cast<int64_t>(value.items().size() * sizeof(Value));
  int64_t bytes = 0;
  if (__builtin_mul_overflow(each, times, &bytes)) bytes = std::numeric_limits<int64_t>::max() / 2;
  runtime.meter().room(bytes);
  runtime.meter().step(bytes / 64);
  if (each == 0) times = 0;
  if (is_text) {
    std::string out;
    out.reserve(static_cast<size_t>(bytes));
    for (int64_t i = 0; i < times; ++i) out += value.as_text();
    return runtime.text(std::move(out)).set_markup(value.markup());
  }
  std::vector<Value> out;
  out.reserve(value.items().size() * static_cast<size_t>(times));
  for (int64_t i = 0; i < times; ++i) out.insert(out.end(), value.items().begin(), value.items().end());
  return value.is(Kind::list) ? runtime.list(std::move(out)) : runtime.tuple(std::move(out));
}

Value join_texts(Runtime& runtime, const Value& a, const Value& b) {
  const bool markup = a.markup() || b.markup();
  const Value left = markup ? escape(runtime, a) : a;
  const Value right = markup ? escape(runtime, b) : b;
  runtime.meter().room(static_cast<int64_t>(left.as_text().size() + right.as_text().size()));
  return runtime.text(left.as_text() + right.as_text()).set_markup(markup);
}

Value join_items(Runtime& runtime, const Value& a, const Value& b) {
  runtime.meter().room(static_cast<int64_t>((a.items().size() + b.items().size()) * sizeof(Value)));
  std::vector<Value> out = a.items();
  out.insert(out.end(), b.items().begin(), b.items().end());
  return a.is(Kind::list) ? runtime.list(std::move(out)) : runtime.tuple(std::move(out));
}

}  // namespace

Value arithmetic(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return integers(runtime, op, a.as_integer(), b.as_integer());
  if (a.is_number() && b.is_number()) return reals(runtime, op, a.as_real(), b.as_real());
  const auto sequence = [](const Value& value) {
    return value.is(Kind::string) || value.is(Kind::list) || value.is(Kind::tuple);
  };
  if (op == Operator::add && a.kind() == b.kind()) {
    if (a.is(Kind::string)) return join_texts(runtime, a, b);
    if (a.is(Kind::list) || a.is(Kind::tuple)) return join_items(runtime, a, b);
  }
  if (op == Operator::multiply && sequence(a) && b.is_integral()) return repeat(runtime, a, b.as_integer());
  if (op == Operator::multiply && a.is_integral() && sequence(b)) return repeat(runtime, b, a.as_integer());
  if (op == Operator::modulo && a.is(Kind::string)) return percent_format(runtime, a, b);
  no_operator(runtime, op, a, b);
}

bool less(Runtime& runtime, const Value& a, const Value& b) {
  return compare(runtime, Operator::less, a, b);
}

bool compare(Runtime& runtime, Operator op, const Value& a, const Value& b) {
  runtime.meter().step();
  switch (op) {
    case Operator::equal:
      return equal(a, b);
    case Operator::not_equal:
      return !equal(a, b);
    case Operator::in:
      return contains(runtime, b, a);
    case Operator::not_in:
      return !contains(runtime, b, a);
    default:
      break;
  }
  const auto decide = [op](const auto& x, const auto& y) {
    return op == Operator::less         ? x < y
           : op == Operator::less_equal ? x <= y
           : op == Operator::greater    ? x > y
                                        : x >= y;
  };
  if (a.is_integral() && b.is_integral()) return decide(a.as_integer(), b.as_integer());
  if (a.is_number() && b.is_number()) {
    // Integers beyond 2^53 against reals: in the type that holds both.
    return decide(a.is(Kind::real) ? static_cast<long double>(a.as_real()) : static_cast<long double>(a.as_integer()),
                  b.is(Kind::real) ? static_cast<long double>(b.as_real()) : static_cast<long double>(b.as_integer()));
  }
  if (a.is(Kind::string) && b.is(Kind::string)) return decide(a.as_text(), b.as_text());
  if (a.kind() == b.kind() && (a.is(Kind::list) || a.is(Kind::tuple))) {
    const auto& left = a.items();
    const auto& right = b.items();
    for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
      if (!equal(left[i], right[i])) return compare(runtime, op, left[i], right[i]);
    }
    return decide(left.size(), right.size());
  }
  no_operator(runtime, op, a, b);
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::string:
      if (!item.is(Kind::string)) {
        runtime.check_defined(item);
        runtime.fail(std::string("\"in\" a string can't look for ") + type_name(item));
      }
      runtime.meter().step(static_cast<int64_t>(container.as_text().size() / 16));
      return container.as_text().find(item.as_text()) != std::string::npos;
    case Kind::dict:
      if (!hashable(item)) runtime.fail(std::string("a value of type ") + type_name(item) + " can't be a key");
      return container.dict().find(item) != nullptr;
    case Kind::iterator: {
      Iterator& iterator = container.object<Iterator>();
      while (iterator.next < iterator.values.size()) {
        if (equal(iterator.values[iterator.next++], item)) return true;
      }
      return false;
    }
    case Kind::undefined:
      return false;
    case Kind::list:
    case Kind::tuple:
      for (const Value& each : container.items()) {
        if (equal(each, item)) return true;
      }
      return false;
    default:
      for (const Value& each : runtime.iterate(container)) {
        if (equal(each, item)) return true;
      }
      return false;
  }
}

Value negative(Runtime& runtime, const Value& value) {
  if (value.is(Kind::real)) return Value::real(-value.as_real());
  if (value.is_integral()) return integers(runtime, Operator::subtract, 0, value.as_integer());
  runtime.check_defined(value);
  runtime.fail(std::string("a value of type ") + type_name(value) + " has no sign");
}

Value concat(Runtime& runtime, const std::vector<Value>& values) {
  std::string out;
  for (const Value& value : values) {
    append_str(value, out);
    runtime.meter().room(static_cast<int64_t>(out.size()));
  }
  return runtime.text(std::move(out));
}

Value escape(Runtime& runtime, const Value& value) {
  if (value.markup()) return value;
  std::string out;
  for (const char c : str(value)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return runtime.text(std::move(out)).set_markup(true);
}

}  // namespace mica::jinja
