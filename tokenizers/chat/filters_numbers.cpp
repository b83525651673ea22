// Filters on numbers, and those that make numbers of text.

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/filters.h"
#include "mica/tokenizers/chat/operators.h"
#include "mica/tokenizers/chat/split.h"
#include "mica/tokenizers/chat/text_of.h"

namespace mica::jinja {
namespace {

// Digits of any script as ASCII, without the single underscores that Python allows between them; empty if malformed.
std::string plain_number(const std::string& text) {
  std::string out;
  const std::u32string all = decode(strip_text(text, std::nullopt, true, true));
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i] == U'_') {
      const bool between = i > 0 && i + 1 < all.size() && is_word(all[i - 1]) && is_word(all[i + 1]) &&
                           all[i - 1] != U'_' && all[i + 1] != U'_';
      if (!between) return {};
    } else if (all[i] >= 0x80) {
      return {};
    } else {
      out += static_cast<char>(all[i]);
    }
  }
  return out;
}

std::optional<double> parse_real(const std::string& text) {
  std::string number = plain_number(text);
  if (number.empty()) return std::nullopt;
  const bool negative = number[0] == '-';
  if (negative || number[0] == '+') number.erase(0, 1);
  if (number.empty() || number[0] == '-' || number[0] == '+') return std::nullopt;
  for (char& c : number) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  double value = 0;
  if (number == "inf" || number == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (number == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (number.find_first_not_of("0123456789.e+-") != number.npos) return std::nullopt;
    char* end = nullptr;
    value = std::strtod(number.c_str(), &end);
    if (end != number.c_str() + number.size()) return std::nullopt;
  }
  return negative ? -value : value;
}

std::optional<int64_t> parse_integer(Runtime& runtime, const std::string& text, int64_t base) {
  std::string number = plain_number(text);
  if (number.empty() || base == 1 || base < 0 || base > 36) return std::nullopt;
  const bool negative = number[0] == '-';
  if (negative || number[0] == '+') number.erase(0, 1);
  if (number.size() > 1 && number[0] == '0') {
    const char kind = static_cast<char>(number[1] | 0x20);
    const int64_t named = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (named != 0 && (base == named || base == 0)) {
      base = named;
      number.erase(0, 2);
    } else if (base == 0 && number.find_first_not_of('0') != number.npos) {
      return std::nullopt;
    }
  }
  if (base == 0) base = 10;
  if (number.empty() || number[0] == '-' || number[0] == '+') return std::nullopt;
  uint64_t value = 0;
  const auto [end, problem] =
      std::from_chars(number.data(), number.data() + number.size(), value, static_cast<int>(base));
  if (end != number.data() + number.size()) return std::nullopt;
  if (problem == std::errc::invalid_argument) return std::nullopt;
  if (problem != std::errc() || value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    runtime.fail("an integer beyond 64 bits");
  }
  return negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

Value int_filter(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "int", args, {"default", "base"});
  const Value fallback = reader.value(0, Value::integer(0));
  const auto from_real = [&](double number) {
    if (!std::isfinite(number)) return fallback;
    const auto whole = exact_integer(std::trunc(number));
    if (!whole) runtime.fail("an integer beyond 64 bits");
    return Value::integer(*whole);
  };
  if (value.is(Kind::real)) {
    // int(inf) raises what the filter does not catch at first, and float(inf) leads there again.
    return from_real(value.as_real());
  }
  if (value.is_integral()) return Value::integer(value.as_integer());
  if (value.is(Kind::undefined)) runtime.check_defined(value);
  if (!value.is(Kind::string)) return fallback;
  if (const auto whole = parse_integer(runtime, value.as_text(), reader.integer(1, 10))) return Value::integer(*whole);
  if (const auto number = parse_real(value.as_text())) return from_real(*number);
  return fallback;
}

Value float_filter(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "float", args, {"default"});
  if (value.is_number()) return Value::real(value.as_real());
  if (value.is(Kind::undefined)) runtime.check_defined(value);
  if (value.is(Kind::string)) {
    if (const auto number = parse_real(value.as_text())) return Value::real(*number);
  }
  return reader.value(0, Value::real(0));
}

Value abs_filter(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "abs", args, {});
  if (value.is(Kind::real)) return Value::real(std::fabs(value.as_real()));
  if (value.is_integral()) {
    return value.as_integer() < 0 ? negative(runtime, value) : Value::integer(value.as_integer());
  }
  runtime.check_defined(value);
  runtime.fail(std::string("abs wants a number, not ") + type_name(value));
}

// Python's round(): half to even, on the exact binary value.
double round_to(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 300) return value;
  if (digits < -300) return std::copysign(0.0, value);
  if (digits >= 0) {
    std::array<char, 1024> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%.*f", static_cast<int>(digits), value);
    return std::strtod(buffer.data(), nullptr);
  }
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(value / unit) * unit;
}

int64_t round_to(Runtime& runtime, int64_t value, int64_t digits) {
  if (digits >= 0) return value;
  if (digits < -18) return 0;
  int64_t unit = 1;
  for (int64_t i = digits; i < 0; ++i) unit *= 10;
  int64_t quotient = value / unit;
  const int64_t rest = std::abs(value % unit);
  if (rest > unit / 2 || (rest == unit / 2 && quotient % 2 != 0)) quotient += value < 0 ? -1 : 1;
  int64_t result = 0;
  if (__builtin_mul_overflow(quotient, unit, &result)) runtime.fail("an integer beyond 64 bits");
  return result;
}

Value round_filter(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "round", args, {"precision", "method"});
  const std::string method = reader.has(1) ? reader.text(1) : "common";
  if (method != "common" && method != "ceil" && method != "floor")
    runtime.fail("round's method is common, ceil or floor");
  if (!value.is_number()) {
    runtime.check_defined(value);
    runtime.fail(std::string("round wants a number, not ") + type_name(value));
  }
  const int64_t digits = reader.integer(0, 0);
  if (method == "common") {
    if (value.is_integral()) return Value::integer(round_to(runtime, value.as_integer(), digits));
    return Value::real(round_to(value.as_real(), digits));
  }
  const Value unit = arithmetic(runtime, Operator::power, Value::integer(10), Value::integer(digits));
  const Value scaled = arithmetic(runtime, Operator::multiply, value, unit);
  const double rounded = method == "ceil" ? std::ceil(scaled.as_real()) : std::floor(scaled.as_real());
  return Value::real(rounded / unit.as_real());
}

}  // namespace

void add_number_filters(Table& table) {
  table["int"] = int_filter;
  table["float"] = float_filter;
  table["abs"] = abs_filter;
  table["round"] = round_filter;
}

}  // namespace mica::jinja
