#include "mica/models/generation/constraints/json_numbers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "mica/models/generation/constraints/automata.h"

namespace mica::constraint_detail {
namespace {

constexpr size_t kWholeDigits = 18, kFractionDigits = 17;
constexpr int64_t kLargest = 999'999'999'999'999'999;

ExpressionPtr digits(int64_t min, int64_t max, char first = '0', char last = '9') {
  CodePointSet set;
  if (first <= last) set.add(static_cast<char32_t>(first), static_cast<char32_t>(last));
  return repeat(one_of(std::move(set)), min, max);
}
ExpressionPtr digit(char first, char last) {
  return digits(1, 1, first, last);
}

// Canonical whole numbers of at most this many digits.
ExpressionPtr whole(int64_t most) {
  return choice({text("0"), sequence({digit('1', '9'), digits(0, most < 0 ? -1 : most - 1)})});
}
ExpressionPtr any_fraction(int64_t most) {
  return optional(sequence({text("."), digits(1, most)}));
}

// Whole numbers of as many digits as `than`, below or above it.
ExpressionPtr same_length(const std::string& than, bool above) {
  std::vector<ExpressionPtr> ways;
  for (size_t i = 0; i < than.size(); ++i) {
    const char lowest = i == 0 && than.size() > 1 ? '1' : '0';
    const char first = above ? static_cast<char>(than[i] + 1) : lowest;
    const char last = above ? '9' : static_cast<char>(than[i] - 1);
    if (first > last) continue;
    const auto rest = static_cast<int64_t>(than.size() - i - 1);
    ways.push_back(sequence({text(than.substr(0, i)), digit(first, last), digits(rest, rest)}));
  }
  return choice(std::move(ways));
}

// Decimals without a sign, at most or at least a bound.
ExpressionPtr at_most(const Bound& bound) {
  const auto& [negative, w, f] = bound.value;
  std::vector<ExpressionPtr> ways;
  if (w.size() > 1) ways.push_back(sequence({whole(static_cast<int64_t>(w.size()) - 1), any_fraction(-1)}));
  ways.push_back(sequence({same_length(w, false), any_fraction(-1)}));
  // The same whole number: the fractions compare like text, and an end counts as zeros.
  std::vector<ExpressionPtr> fractions;
  for (size_t i = 0; i < f.size(); ++i) {
    if (f[i] > '0') {
      fractions.push_back(sequence({text(f.substr(0, i)), digit('0', static_cast<char>(f[i] - 1)), digits(0, -1)}));
    }
    if (i > 0) fractions.push_back(text(f.substr(0, i)));
  }
  if (!bound.strict)
    fractions.push_back(f.empty() ? digits(1, -1, '0', '0') : sequence({text(f), digits(0, -1, '0', '0')}));
  if (!bound.strict || !f.empty()) ways.push_back(text(w));
  ways.push_back(sequence({text(w + "."), choice(std::move(fractions))}));
  return choice(std::move(ways));
}

ExpressionPtr at_least(const Bound& bound) {
  const auto& [negative, w, f] = bound.value;
  std::vector<ExpressionPtr> ways;
  ways.push_back(sequence({digit('1', '9'), digits(static_cast<int64_t>(w.size()), -1), any_fraction(-1)}));
  ways.push_back(sequence({same_length(w, true), any_fraction(-1)}));
  std::vector<ExpressionPtr> fractions;
  for (size_t i = 0; i < f.size(); ++i) {
    if (f[i] == '9') continue;
    fractions.push_back(sequence({text(f.substr(0, i)), digit(static_cast<char>(f[i] + 1), '9'), digits(0, -1)}));
  }
  if (bound.strict) {
    fractions.push_back(sequence({text(f), digits(0, -1, '0', '0'), digit('1', '9'), digits(0, -1)}));
  } else {
    fractions.push_back(sequence({text(f), digits(f.empty() ? 1 : 0, -1)}));
  }
  if (!bound.strict && f.empty()) ways.push_back(text(w));
  ways.push_back(sequence({text(w + "."), choice(std::move(fractions))}));
  return choice(std::move(ways));
}

// Decimals without a sign within bounds.
ExpressionPtr magnitudes(const std::optional<Bound>& low, const std::optional<Bound>& high, int64_t max_states) {
  size_t fraction = kFractionDigits;
  for (const auto* bound : {&low, &high}) {
    if (*bound) fraction = std::max(fraction, (*bound)->value.fraction.size() + 1);
  }
  const ExpressionPtr form = sequence({whole(kWholeDigits), any_fraction(static_cast<int64_t>(fraction))});
  ByteDfa dfa = build_dfa(form, max_states);
  if (low) dfa = intersection(dfa, build_dfa(at_least(*low), max_states), max_states);
  if (high) dfa = intersection(dfa, build_dfa(at_most(*high), max_states), max_states);
  return automaton(std::make_shared<const ByteDfa>(std::move(dfa)));
}

// Whole numbers from a to b, both with n digits, from digit i on.
ExpressionPtr between(const std::string& a, const std::string& b, size_t i, bool above_a, bool below_b) {
  const auto rest = static_cast<int64_t>(a.size() - i);
  if (rest == 0) return sequence({});
  if (above_a && below_b) return digits(rest, rest);
  const char low = above_a ? '0' : a[i], high = below_b ? '9' : b[i];
  if (!above_a && !below_b && low == high) return sequence({digit(low, low), between(a, b, i + 1, false, false)});
  std::vector<ExpressionPtr> ways;
  const char first = above_a ? low : static_cast<char>(low + 1), last = below_b ? high : static_cast<char>(high - 1);
  if (!above_a) ways.push_back(sequence({digit(low, low), between(a, b, i + 1, false, true)}));
  if (first <= last) ways.push_back(sequence({digit(first, last), digits(rest - 1, rest - 1)}));
  if (!below_b) ways.push_back(sequence({digit(high, high), between(a, b, i + 1, true, false)}));
  return choice(std::move(ways));
}

// Whole numbers from low to high, neither negative.
ExpressionPtr range(int64_t low, int64_t high) {
  std::vector<ExpressionPtr> ways;
  while (low <= high) {
    const std::string from = std::to_string(low);
    const int64_t end = std::min<int64_t>(high, std::stoll(std::string(from.size(), '9')));
    ways.push_back(between(from, std::to_string(end), 0, false, false));
    low = end + 1;
  }
  return choice(std::move(ways));
}

// The smallest integer not below the bound (or the largest not above it), kLargest + 1 in magnitude beyond 18 digits.
int64_t to_integer(const Bound& bound, bool is_low) {
  const Decimal& value = bound.value;
  if (value.whole.size() > kWholeDigits) return value.negative ? -kLargest - 1 : kLargest + 1;
  int64_t result = std::stoll(value.whole);
  if (value.negative) result = -result;
  if (!value.is_integer()) {
    if (is_low && !value.negative) ++result;
    if (!is_low && value.negative) --result;
  } else if (bound.strict) {
    result += is_low ? 1 : -1;
  }
  return result;
}

std::shared_ptr<const ByteDfa> multiples(int64_t of) {
  auto dfa = std::make_shared<ByteDfa>();
  dfa->states.resize(static_cast<size_t>(of) + 1);
  for (int64_t state = 0; state <= of; ++state) {
    ByteDfa::State& made = dfa->states[static_cast<size_t>(state)];
    if (state == 0) made.edges.push_back({'-', '-', 0});
    const int64_t rest = state == 0 ? 0 : state - 1;
    for (int64_t d = 0; d < 10; ++d) {
      const auto byte = static_cast<uint8_t>('0' + d);
      made.edges.push_back({byte, byte, static_cast<uint32_t>(1 + (rest * 10 + d) % of)});
    }
    made.accepting = state == 1;
  }
  return dfa;
}

}  // namespace

Decimal Decimal::of(const Json& number) {
  Decimal result;
  std::string text = number.dump();
  if (text[0] == '-') {
    result.negative = true;
    text.erase(0, 1);
  }
  int64_t exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != text.npos) {
    exponent = std::stoll(text.substr(e + 1));
    text.resize(e);
  }
  const size_t point = std::min(text.find('.'), text.size());
  std::string all = text.substr(0, point);
  auto whole_digits = static_cast<int64_t>(all.size()) + exponent;
  if (point < text.size()) all += text.substr(point + 1);
  // A double's exponent is at most 308 either way.
  if (whole_digits < 0) {
    all.insert(0, static_cast<size_t>(-whole_digits), '0');
    whole_digits = 0;
  }
  if (whole_digits > static_cast<int64_t>(all.size())) all.resize(static_cast<size_t>(whole_digits), '0');
  result.whole = all.substr(0, static_cast<size_t>(whole_digits));
  result.fraction = all.substr(static_cast<size_t>(whole_digits));
  result.whole.erase(0, std::min(result.whole.find_first_not_of('0'), result.whole.size()));
  if (result.whole.empty()) result.whole = "0";
  result.fraction.erase(result.fraction.find_last_not_of('0') + 1);
  if (result.is_zero()) result.negative = false;
  return result;
}

int Decimal::compare(const Decimal& other) const {
  if (negative != other.negative) return negative ? -1 : 1;
  int order = 0;
  if (whole.size() != other.whole.size()) {
    order = whole.size() < other.whole.size() ? -1 : 1;
  } else if (whole != other.whole) {
    order = whole < other.whole ? -1 : 1;
  } else if (fraction != other.fraction) {
    order = fraction < other.fraction ? -1 : 1;  // no trailing zeros: a prefix is the smaller one
  }
  return negative ? -order : order;
}

bool NumberRange::contains(const Decimal& value) const {
  if (low && (value.compare(low->value) < 0 || (low->strict && value.compare(low->value) == 0))) return false;
  if (high && (value.compare(high->value) > 0 || (high->strict && value.compare(high->value) == 0))) return false;
  if (multiple_of == 1) return true;
  int64_t rest = 0;
  for (const char c : value.whole) rest = (rest * 10 + (c - '0')) % multiple_of;
  return value.is_integer() && rest == 0;
}

ExpressionPtr integers_in(const NumberRange& bounds, int64_t max_states) {
  const int64_t low = bounds.low ? std::max(to_integer(*bounds.low, true), -kLargest) : -kLargest;
  const int64_t high = bounds.high ? std::min(to_integer(*bounds.high, false), kLargest) : kLargest;
  std::vector<ExpressionPtr> ways;
  if (low == -kLargest && high == kLargest) {
    ways.push_back(sequence({optional(text("-")), whole(kWholeDigits)}));
  } else {
    if (low < 0) ways.push_back(sequence({text("-"), range(std::max<int64_t>(1, -high), -low)}));
    if (high >= 0) ways.push_back(range(std::max<int64_t>(0, low), high));
  }
  ExpressionPtr all = choice(std::move(ways));
  if (bounds.multiple_of == 1) return all;
  ByteDfa dfa = intersection(build_dfa(all, max_states), *multiples(bounds.multiple_of), max_states);
  return automaton(std::make_shared<const ByteDfa>(std::move(dfa)));
}

ExpressionPtr numbers_in(const NumberRange& bounds, int64_t max_states) {
  if (!bounds.low && !bounds.high) {
    CodePointSet e, sign;
    e.add('E');
    e.add('e');
    sign.add('+');
    sign.add('-');
    return sequence({optional(text("-")), whole(kWholeDigits), any_fraction(kFractionDigits),
                     optional(sequence({one_of(e), optional(one_of(sign)), digits(1, 2)}))});
  }
  const auto opposite = [](Bound bound) {
    bound.value.negative = false;
    return bound;
  };
  std::vector<ExpressionPtr> ways;
  if (!bounds.low || bounds.low->value.negative) {
    // -y, where y runs from -high (0 where high is not negative) to -low.
    std::optional<Bound> from, to;
    const bool bounded =
        bounds.high && (bounds.high->value.negative || (bounds.high->value.is_zero() && bounds.high->strict));
    if (bounded) from = opposite(*bounds.high);
    if (bounds.low) to = opposite(*bounds.low);
    ways.push_back(sequence({text("-"), magnitudes(from, to, max_states)}));
  }
  if (!bounds.high || !bounds.high->value.negative) {
    std::optional<Bound> from;
    if (bounds.low && !bounds.low->value.negative) from = bounds.low;
    ways.push_back(magnitudes(from, bounds.high, max_states));
  }
  return choice(std::move(ways));
}

}  // namespace mica::constraint_detail
