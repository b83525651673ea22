#include "mica/models/generation/constraints/json_text.h"

#include <utility>
#include <vector>

#include "mica/models/generation/constraints/plain_text.h"

namespace mica::constraint_detail {
namespace {

ExpressionPtr hex_digits(int64_t count) {
  CodePointSet set;
  set.add('0', '9');
  set.add('A', 'F');
  set.add('a', 'f');
  return repeat(one_of(std::move(set)), count, count);
}

ExpressionPtr any_of(std::string_view characters) {
  CodePointSet set;
  for (const char c : characters) set.add(static_cast<unsigned char>(c));
  return one_of(std::move(set));
}

// \uXXXX: a character of the basic plane, or two surrogates that make one beyond.
ExpressionPtr code_escape() {
  const ExpressionPtr plain = choice({sequence({any_of("0123456789ABCEFabcef"), hex_digits(3)}),
                                      sequence({any_of("Dd"), any_of("01234567"), hex_digits(2)})});
  const ExpressionPtr pair = sequence(
      {any_of("Dd"), any_of("89ABab"), hex_digits(2), text("\\u"), any_of("Dd"), any_of("CDEFcdef"), hex_digits(2)});
  return sequence({text("u"), choice({plain, pair})});
}

constexpr const char* kDate =
    "^(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|"
    "02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:(?:[02468][048]|[13579][26])00|[0-9]{2}(?:0[48]|[2468][048]|[13579][26]))-02-29)";
constexpr const char* kTime =
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$";
constexpr const char* kHost = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";

const std::vector<std::pair<std::string, std::string>>& formats() {
  static const std::string byte = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  static const std::string host = std::string(kHost) + "(?:\\." + kHost + "){0,3}";
  static const std::string digits = "[0-9]{1,9}";
  static const std::string of_day = "T(?:" + digits + "H(?:" + digits + "M)?(?:" + digits + "S)?|" + digits +
                                    "M(?:" + digits + "S)?|" + digits + "S)";
  static const std::string of_year =
      "(?:" + digits + "Y(?:" + digits + "M(?:" + digits + "D)?)?|" + digits + "M(?:" + digits + "D)?|" + digits + "D)";
  static const std::vector<std::pair<std::string, std::string>> all{
      {"date", std::string(kDate) + "$"},
      {"time", std::string("^") + kTime},
      {"date-time", std::string(kDate) + "T" + kTime},
      {"duration", "^P(?:" + of_year + "(?:" + of_day + ")?|" + of_day + "|" + digits + "W)$"},
      {"uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
      {"email", "^[A-Za-z0-9!#$%&'*+/=?_`{|}~-]{1,30}(?:\\.[A-Za-z0-9!#$%&'*+/=?_`{|}~-]{1,30})?@" + host +
                    "\\.[A-Za-z]{2,20}$"},
      {"hostname", "^" + host + "$"},
      {"ipv4", "^" + byte + "(?:\\." + byte + "){3}$"},
  };
  return all;
}

}  // namespace

ExpressionPtr comma() {
  return sequence({text(","), optional(text(" "))});
}
ExpressionPtr colon() {
  return sequence({text(":"), optional(text(" "))});
}

ExpressionPtr any_character() {
  return choice({one_of(plain_characters()), sequence({text("\\"), choice({any_of("\"\\/bfnrt"), code_escape()})})});
}

ExpressionPtr spell_in_string(const CodePointSet& set) {
  std::vector<ExpressionPtr> ways;
  CodePointSet escaped = plain_characters().complement();
  ways.push_back(one_of(set.without(escaped)));
  escaped = set.without(plain_characters());
  for (const CodePointSet::Range range : escaped.ranges()) {
    for (char32_t c = range.first; c <= range.last; ++c) {
      const std::string spelled = json_string(std::string(1, static_cast<char>(c)));
      ways.push_back(text(spelled.substr(1, spelled.size() - 2)));
    }
  }
  return choice(std::move(ways));
}

ExpressionPtr in_quotes(ExpressionPtr content) {
  return sequence({text("\""), std::move(content), text("\"")});
}

ExpressionPtr any_string(int64_t min, int64_t max) {
  return in_quotes(repeat(any_character(), min, max));
}

std::string json_string(std::string_view text) {
  return Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

ExpressionPtr json_literal(const Json& value) {
  if (!value.is_structured()) return text(value.dump(-1, ' ', false, Json::error_handler_t::replace));
  std::vector<ExpressionPtr> parts{text(value.is_object() ? "{" : "[")};
  bool first = true;
  for (const auto& [key, item] : value.items()) {
    if (!first) parts.push_back(comma());
    first = false;
    if (value.is_object()) {
      parts.push_back(text(json_string(key)));
      parts.push_back(colon());
    }
    parts.push_back(json_literal(item));
  }
  parts.push_back(text(value.is_object() ? "}" : "]"));
  return sequence(std::move(parts));
}

const char* format_pattern(std::string_view format) {
  for (const auto& [name, pattern] : formats()) {
    if (name == format) return pattern.c_str();
  }
  return nullptr;
}

std::string known_formats() {
  std::string names;
  for (const auto& [name, pattern] : formats()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace mica::constraint_detail
