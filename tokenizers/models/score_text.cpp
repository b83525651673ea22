#include "mica/tokenizers/models/score_text.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "mica/base/json.h"

namespace mica {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

constexpr int kMaxPower = 308;

// 1e0 ... 1e308, each the nearest double.
const std::array<double, kMaxPower + 1>& powers_of_ten() {
  static const std::array<double, kMaxPower + 1> powers = [] {
    std::array<double, kMaxPower + 1> all{};
    for (int i = 0; i <= kMaxPower; ++i) all[static_cast<size_t>(i)] = std::stod("1e" + std::to_string(i));
    return all;
  }();
  return powers;
}

}  // namespace

double parse_score(std::string_view text) {
  size_t at = 0;
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) ++at;
  uint64_t digits = 0;
  int64_t exponent = 0;
  bool full = false;  // no further digit fits
  const auto take = [&](bool fraction) {
    for (; at < text.size() && is_digit(text[at]); ++at) {
      const auto digit = static_cast<uint64_t>(text[at] - '0');
      constexpr uint64_t most = std::numeric_limits<uint64_t>::max();
      full = full || digits > most / 10 || (digits == most / 10 && digit > most % 10);
      if (!full) {
        digits = digits * 10 + digit;
        exponent -= fraction ? 1 : 0;
      } else if (!fraction) {
        ++exponent;
      }
    }
  };
  take(false);
  if (at < text.size() && text[at] == '.') {
    ++at;
    take(true);
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    const bool down = at < text.size() && text[at] == '-';
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    int64_t written = 0;
    for (; at < text.size() && is_digit(text[at]); ++at) {
      if (written < 1'000'000) written = written * 10 + (text[at] - '0');
    }
    exponent += down ? -written : written;
  }
  auto value = static_cast<double>(digits);
  const auto& powers = powers_of_ten();
  for (; value != 0; exponent += kMaxPower) {
    if (const int64_t size = std::abs(exponent); size <= kMaxPower) {
      value = exponent >= 0 ? value * powers[static_cast<size_t>(size)] : value / powers[static_cast<size_t>(size)];
      break;
    }
    if (exponent > 0) {
      value = std::numeric_limits<double>::infinity();
      break;
    }
    value /= powers[kMaxPower];
  }
  return negative ? -value : value;
}

double writable_score(double score) {
  double above = score, below = score;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (int steps = 0; steps < 16; ++steps) {
    for (const double candidate : {above, below}) {
      if (parse_score(Json(candidate).dump()) == score) return candidate;
    }
    above = std::nextafter(above, infinity);
    below = std::nextafter(below, -infinity);
  }
  return score;
}

}  // namespace mica
