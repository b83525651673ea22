#include "mica/tokenizers/chat/format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/operators.h"
#include "mica/tokenizers/chat/text_of.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {
namespace {

constexpr int64_t kMaxDigits = 400;  // of a precision: no double has more to show but zeros
constexpr int64_t kMaxWidth = 1 << 20;

// What stands between % and its letter, or behind the colon in braces.
struct Spec {
  char32_t fill = U' ';
  char align = 0;  // < > ^ =
  char sign = '-';
  bool alternate = false, zero = false;
  int64_t width = 0;
  std::optional<int64_t> precision;
  char group = 0;
  char type = 0;
};

std::string grouped(std::string digits, char sign) {
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, sign);
  return digits;
}

std::string in_base(uint64_t value, unsigned base, bool capital) {
  std::string digits;
  do {
    const unsigned digit = static_cast<unsigned>(value % base);
    digits += static_cast<char>(digit < 10 ? '0' + digit : (capital ? 'A' : 'a') + digit - 10);
    value /= base;
  } while (value > 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

class Formatter {
 public:
  explicit Formatter(Runtime& runtime) : runtime_(runtime) {}

  std::string number(const Spec& spec, bool negative, const std::string& prefix, std::string body) const {
    if (spec.group != 0) {
      const size_t end = std::min(body.find_first_not_of("0123456789"), body.size());
      body = grouped(body.substr(0, end), spec.group) + body.substr(end);
    }
    const std::string sign = negative ? "-" : spec.sign == '+' ? "+" : spec.sign == ' ' ? " " : "";
    return pad(spec, sign + prefix, body, '>');
  }

  std::string integer(Spec spec, int64_t value) const {
    const bool negative = value < 0;
    const uint64_t size = negative ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    std::string prefix;
    unsigned base = 10;
    if (spec.type == 'x' || spec.type == 'X') base = 16;
    if (spec.type == 'o') base = 8;
    if (spec.type == 'b') base = 2;
    if (spec.alternate && base != 10) prefix = std::string("0") + spec.type;
    return number(spec, negative, prefix, in_base(size, base, spec.type == 'X'));
  }

  std::string real(const Spec& spec, double value) const {
    const bool capital = spec.type == 'F' || spec.type == 'E' || spec.type == 'G';
    const bool negative = std::signbit(value) && !std::isnan(value);
    std::string body;
    if (!std::isfinite(value)) {
      body = std::isnan(value) ? "nan" : "inf";
      if (capital)
        std::transform(body.begin(), body.end(), body.begin(), [](char c) { return static_cast<char>(c - 32); });
    } else if (spec.type == 0 && !spec.precision) {
      body = repr(std::fabs(value));
    } else {
      const double shown = spec.type == '%' ? value * 100 : value;
      char letter = spec.type == 0 ? 'g' : spec.type == '%' ? 'f' : spec.type == 'n' ? 'g' : spec.type;
      const std::string format = std::string(spec.alternate ? "%#.*" : "%.*") + letter;
      std::array<char, 1024> buffer{};
      std::snprintf(buffer.data(), buffer.size(), format.c_str(), static_cast<int>(spec.precision.value_or(6)),
                    std::fabs(shown));
      body = buffer.data();
      // Without a letter, Python shows at least one digit behind the point.
      if (spec.type == 0 && body.find_first_of(".e") == body.npos) body += ".0";
      if (spec.type == '%') body += '%';
    }
    return number(spec, negative, "", body);
  }

  std::string pad(const Spec& spec, const std::string& before, const std::string& body, char usual) const {
    const auto length = static_cast<int64_t>(utf8::count(before) + utf8::count(body));
    const int64_t missing = std::max<int64_t>(spec.width - length, 0);
    runtime_.meter().room(missing * 4);
    char align = spec.align != 0 ? spec.align : spec.zero ? '=' : usual;
    const char32_t fill = spec.zero && spec.align == 0 ? U'0' : spec.fill;
    const auto filled = [&](int64_t count) { return encode(std::u32string(static_cast<size_t>(count), fill)); };
    if (align == '<') return before + body + filled(missing);
    if (align == '=') return before + filled(missing) + body;
    const int64_t left = align == '^' ? missing / 2 : missing;
    return filled(left) + before + body + filled(missing - left);
  }

  // format(value, spec) of Python.
  std::string value(const Value& value, const std::string& text) const {
    if (text.empty()) return str(value);
    Spec spec = parse(text);
    const bool wants_real = spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
    if (value.is_number() && (value.is(Kind::real) || wants_real)) {
      if (spec.type != 0 && spec.type != 'n' && !wants_real) bad(spec, value);
      return real(spec, value.as_real());
    }
    if (value.is(Kind::integer) || (value.is(Kind::boolean) && spec.type != 's')) {
      if (value.is(Kind::boolean) && spec.type == 0) {
        // format(True, "5") pads the number 1.
        return integer(spec, value.as_integer());
      }
      if (spec.precision) runtime_.fail("an integer's format has a precision");
      if (spec.type == 'c') return pad(spec, "", character(value.as_integer()), '<');
      if (spec.type != 0 && std::string_view("dnxXob").find(spec.type) == std::string_view::npos) bad(spec, value);
      return integer(spec, value.as_integer());
    }
    if (!value.is(Kind::string)) runtime_.fail(std::string("a value of type ") + type_name(value) + " takes no format");
    if (spec.type != 0 && spec.type != 's') bad(spec, value);
    if (spec.align == '=' || spec.sign != '-' || spec.alternate || spec.group != 0) bad(spec, value);
    if (spec.zero && spec.align == 0) {
      spec.align = '<';
      spec.fill = U'0';
    }
    return pad(spec, "", cut(value.as_text(), spec.precision), '<');
  }

  static std::string cut(const std::string& text, std::optional<int64_t> precision) {
    if (!precision) return text;
    const std::u32string all = decode(text);
    return encode(std::u32string_view(all).substr(0, static_cast<size_t>(*precision)));
  }

  std::string character(int64_t code) const {
    if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      runtime_.fail("%c of a number that is no character");
    return encode(std::u32string(1, static_cast<char32_t>(code)));
  }

 private:
  [[noreturn]] void bad(const Spec& spec, const Value& value) const {
    runtime_.fail(std::string("format \"") + (spec.type != 0 ? std::string(1, spec.type) : "") +
                  "\" does not fit a value of type " + type_name(value));
  }

  Spec parse(const std::string& text) const {
    Spec spec;
    const std::u32string all = decode(text);
    size_t i = 0;
    const auto is_align = [&](size_t k) {
      return k < all.size() && (all[k] == U'<' || all[k] == U'>' || all[k] == U'^' || all[k] == U'=');
    };
    if (is_align(1)) {
      spec.fill = all[0];
      spec.align = static_cast<char>(all[1]);
      i = 2;
    } else if (is_align(0)) {
      spec.align = static_cast<char>(all[0]);
      i = 1;
    }
    if (i < all.size() && (all[i] == U'+' || all[i] == U'-' || all[i] == U' ')) spec.sign = static_cast<char>(all[i++]);
    if (i < all.size() && all[i] == U'#') {
      spec.alternate = true;
      ++i;
    }
    if (i < all.size() && all[i] == U'0') {
      spec.zero = true;
      if (spec.align != 0 && !is_align(1)) spec.fill = U'0';
      ++i;
    }
    const auto digits = [&](int64_t most) {
      int64_t value = 0;
      for (; i < all.size() && all[i] >= U'0' && all[i] <= U'9'; ++i) {
        value = value * 10 + static_cast<int64_t>(all[i] - U'0');
        if (value > most) runtime_.fail("a format's width or precision is too large");
      }
      return value;
    };
    spec.width = digits(kMaxWidth);
    if (i < all.size() && (all[i] == U',' || all[i] == U'_')) spec.group = static_cast<char>(all[i++]);
    if (i < all.size() && all[i] == U'.') {
      ++i;
      if (i >= all.size() || all[i] < U'0' || all[i] > U'9') runtime_.fail("a format lacks its precision");
      spec.precision = digits(kMaxDigits);
    }
    if (i < all.size() && all[i] < 0x80) spec.type = static_cast<char>(all[i++]);
    if (i < all.size()) runtime_.fail("\"" + printable(text, 60) + "\" is no format");
    return spec;
  }

  Runtime& runtime_;
};

// "%..." letter by letter.
class Percent {
 public:
  Percent(Runtime& runtime, const std::string& format, const Value& values)
      : runtime_(runtime), formatter_(runtime), format_(format), values_(values) {}

  std::string run() {
    for (at_ = 0; at_ < format_.size();) {
      const char c = format_[at_++];
      if (c != '%') {
        out_ += c;
        continue;
      }
      if (at_ < format_.size() && format_[at_] == '%') {
        out_ += '%';
        ++at_;
        continue;
      }
      conversion();
      runtime_.meter().room(static_cast<int64_t>(out_.size()));
    }
    // Python takes a list for a mapping here, whose values may stay unused.
    const bool mapping =
        values_.is(Kind::dict) || values_.is(Kind::list) || values_.is(Kind::range) || values_.is(Kind::undefined);
    const size_t given = values_.is(Kind::tuple) ? values_.items().size() : 1;
    if (!by_name_ && !mapping && used_ < given) runtime_.fail("a text with % got more values than it shows");
    return out_;
  }

 private:
  char peek() const { return at_ < format_.size() ? format_[at_] : '\0'; }

  Value next() {
    if (values_.is(Kind::tuple)) {
      if (used_ >= values_.items().size()) runtime_.fail("a text with % got fewer values than it shows");
      return values_.items()[used_++];
    }
    if (used_++ > 0) runtime_.fail("a text with % got fewer values than it shows");
    return values_;
  }

  int64_t digits(int64_t most) {
    if (peek() == '*') {
      ++at_;
      const Value value = next();
      if (!value.is_integral() || std::llabs(value.as_integer()) > most)
        runtime_.fail("* in a format wants an integer");
      return value.as_integer();
    }
    int64_t value = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      value = value * 10 + (peek() - '0');
      if (value > most) runtime_.fail("a format's width or precision is too large");
    }
    return value;
  }

  void conversion() {
    Spec spec;
    std::optional<Value> named;
    if (peek() == '(') {
      const size_t end = format_.find(')', at_);
      if (end == std::string::npos || !values_.is(Kind::dict)) runtime_.fail("%(name) wants a dict");
      const Value* found = values_.dict().find(std::string_view(format_).substr(at_ + 1, end - at_ - 1));
      if (found == nullptr) runtime_.fail("%(name) is not in the dict");
      named = *found;
      by_name_ = true;
      at_ = end + 1;
    }
    bool left = false;
    for (;; ++at_) {
      if (peek() == '-') {
        left = true;
      } else if (peek() == '+') {
        spec.sign = '+';
      } else if (peek() == ' ') {
        if (spec.sign != '+') spec.sign = ' ';
      } else if (peek() == '#') {
        spec.alternate = true;
      } else if (peek() == '0') {
        spec.zero = true;
      } else {
        break;
      }
    }
    spec.width = digits(kMaxWidth);
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (peek() == '.') {
      ++at_;
      spec.precision = std::max<int64_t>(digits(kMaxDigits), 0);
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++at_;
    spec.type = peek();
    ++at_;
    if (left) {
      spec.align = '<';
      spec.zero = false;
    }
    show(spec, named ? *named : next());
  }

  void show(Spec spec, const Value& value) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a':
        spec.zero = false;
        out_ +=
            formatter_.pad(spec, "", Formatter::cut(spec.type == 's' ? str(value) : repr(value), spec.precision), '>');
        return;
      case 'c':
        spec.zero = false;
        if (value.is(Kind::string) && value.object<Text>().length == 1) {
          out_ += formatter_.pad(spec, "", value.as_text(), '>');
        } else if (value.is_integral()) {
          out_ += formatter_.pad(spec, "", formatter_.character(value.as_integer()), '>');
        } else {
          runtime_.fail("%c wants one character");
        }
        return;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o': {
        if (!value.is_number() || (value.is(Kind::real) && spec.type != 'd' && spec.type != 'i' && spec.type != 'u')) {
          runtime_.check_defined(value);
          runtime_.fail(std::string("%") + spec.type + " wants a number, not " + type_name(value));
        }
        const auto whole = value.is(Kind::real) ? exact_integer(std::trunc(value.as_real())) : value.as_integer();
        if (!whole) runtime_.fail("an integer beyond 64 bits");
        out_ += precise(spec, *whole);
        return;
      }
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (!value.is_number()) {
          runtime_.check_defined(value);
          runtime_.fail(std::string("%") + spec.type + " wants a number, not " + type_name(value));
        }
        out_ += formatter_.real(spec, value.as_real());
        return;
      default:
        runtime_.fail("\"%" + printable(std::string_view(&spec.type, 1)) + "\" is no format");
    }
  }

  // An integer with at least so many digits.
  std::string precise(const Spec& spec, int64_t value) const {
    if (!spec.precision) return formatter_.integer(spec, value);
    Spec plain;
    plain.type = spec.type;
    std::string digits = formatter_.integer(plain, value);
    if (value < 0) digits.erase(0, 1);
    if (digits.size() < static_cast<size_t>(*spec.precision))
      digits.insert(0, static_cast<size_t>(*spec.precision) - digits.size(), '0');
    std::string prefix;
    if (spec.alternate && (spec.type == 'x' || spec.type == 'X' || spec.type == 'o'))
      prefix = std::string("0") + spec.type;
    return formatter_.number(spec, value < 0, prefix, digits);
  }

  Runtime& runtime_;
  Formatter formatter_;
  const std::string& format_;
  const Value& values_;
  std::string out_;
  size_t at_ = 0, used_ = 0;
  bool by_name_ = false;
};

// "{...}" field by field.
class Braces {
 public:
  Braces(Runtime& runtime, const Args& args) : runtime_(runtime), formatter_(runtime), args_(args) {}

  std::string run(std::string_view format, int level = 0) {
    std::string out;
    for (size_t i = 0; i < format.size();) {
      const char c = format[i++];
      const bool twice = i < format.size() && format[i] == c;
      if (c == '{' && !twice) {
        out += field(format, &i, level);
      } else if (c == '}' && !twice) {
        runtime_.fail("a single '}' in a format");
      } else {
        out += c;
        if (c == '{' || c == '}') ++i;
      }
      runtime_.meter().room(static_cast<int64_t>(out.size()));
    }
    return out;
  }

 private:
  std::string field(std::string_view format, size_t* i, int level) {
    if (level > 1) runtime_.fail("a format nests too deep");
    // To the brace that closes this one.
    size_t end = *i;
    for (int open = 1; end < format.size(); ++end) {
      if (format[end] == '{') ++open;
      if (format[end] == '}' && --open == 0) break;
    }
    if (end >= format.size()) runtime_.fail("a '{' of a format is never closed");
    std::string_view inside = format.substr(*i, end - *i);
    *i = end + 1;
    std::string spec;
    // The name may hold brackets with anything in them.
    size_t stop = 0;
    for (bool bracket = false; stop < inside.size(); ++stop) {
      if (inside[stop] == '[') bracket = true;
      if (inside[stop] == ']') bracket = false;
      if (!bracket && (inside[stop] == '!' || inside[stop] == ':')) break;
    }
    char conversion = 0;
    if (stop < inside.size() && inside[stop] == '!') {
      if (stop + 1 >= inside.size() || (stop + 2 < inside.size() && inside[stop + 2] != ':'))
        runtime_.fail("a format's conversion is malformed");
      conversion = inside[stop + 1];
      if (stop + 3 <= inside.size()) spec = inside.substr(stop + 3);
    } else if (stop < inside.size()) {
      spec = inside.substr(stop + 1);
    }
    Value value = look_up(inside.substr(0, stop));
    if (conversion == 'r' || conversion == 'a') {
      value = runtime_.text(repr(value));
    } else if (conversion == 's') {
      value = runtime_.text(str(value));
    } else if (conversion != 0) {
      runtime_.fail("a format's conversion is malformed");
    }
    return formatter_.value(value, run(spec, level + 1));
  }

  Value look_up(std::string_view name) {
    const size_t end = std::min(name.find_first_of(".["), name.size());
    const std::string_view first = name.substr(0, end);
    Value value;
    if (first.empty() || first.find_first_not_of("0123456789") == first.npos) {
      size_t index = 0;
      if (first.empty()) {
        if (manual_) runtime_.fail("a format mixes {} and {0}");
        automatic_ = true;
        index = next_++;
      } else {
        if (automatic_ || first.size() > 6) runtime_.fail("a format mixes {} and {0}");
        manual_ = true;
        index = std::stoul(std::string(first));
      }
      if (index >= args_.positional.size()) runtime_.fail("a format got fewer values than it shows");
      value = args_.positional[index];
    } else {
      const auto same = [&](const auto& named) { return named.first == first; };
      const auto it = std::find_if(args_.named.begin(), args_.named.end(), same);
      if (it == args_.named.end()) runtime_.fail("format() lacks \"" + printable(first, 40) + "\"");
      value = it->second;
    }
    for (name = name.substr(end); !name.empty();) {
      if (name[0] == '.') {
        const size_t stop = std::min(name.find_first_of(".[", 1), name.size());
        value = attribute(runtime_, value, std::string(name.substr(1, stop - 1)));
        name = name.substr(stop);
      } else {
        const size_t stop = name.find(']');
        if (stop == name.npos) runtime_.fail("a '[' of a format is never closed");
        const std::string key(name.substr(1, stop - 1));
        const bool number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == key.npos;
        value = item(runtime_, value, number ? Value::integer(std::stoll(key)) : runtime_.text(key));
        name = name.substr(stop + 1);
      }
      runtime_.check_defined(value);
    }
    return value;
  }

  Runtime& runtime_;
  Formatter formatter_;
  const Args& args_;
  size_t next_ = 0;
  bool automatic_ = false, manual_ = false;
};

}  // namespace

Value percent_format(Runtime& runtime, const Value& format, const Value& values) {
  return runtime.text(Percent(runtime, format.as_text(), values).run()).set_markup(format.markup());
}

Value brace_format(Runtime& runtime, const Value& format, Args& args) {
  return runtime.text(Braces(runtime, args).run(format.as_text()));
}

}  // namespace mica::jinja
