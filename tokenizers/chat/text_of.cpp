#include "mica/tokenizers/chat/text_of.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/loop.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {
namespace {

void append_repr(const Value& value, std::string& out);

void append_escape(char32_t c, std::string& out) {
  std::array<char, 16> buffer{};
  const char* format = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
  std::snprintf(buffer.data(), buffer.size(), format, static_cast<unsigned>(c));
  out += buffer.data();
}

void append_items(const std::vector<Value>& values, std::string& out) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(values[i], out);
  }
}

void append_dict(const Dict& dict, std::string& out) {
  out += '{';
  for (size_t i = 0; i < dict.entries.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(dict.entries[i].first, out);
    out += ": ";
    append_repr(dict.entries[i].second, out);
  }
  out += '}';
}

void append_view(const View& view, std::string& out) {
  out += view.part == View::Part::keys     ? "dict_keys(["
         : view.part == View::Part::values ? "dict_values(["
                                           : "dict_items([";
  const auto& entries = view.dict.dict().entries;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out += ", ";
    if (view.part == View::Part::items) out += '(';
    if (view.part != View::Part::values) append_repr(entries[i].first, out);
    if (view.part == View::Part::items) out += ", ";
    if (view.part != View::Part::keys) append_repr(entries[i].second, out);
    if (view.part == View::Part::items) out += ')';
  }
  out += "])";
}

// A namespace may hold itself, or others in a long chain.
void append_names(const Names& names, std::string& out) {
  static thread_local int nested = 0;
  constexpr int kMaxNested = 20;
  out += "<Namespace ";
  if (nested >= kMaxNested) {
    out += "{...}";
  } else {
    ++nested;
    try {
      append_dict(names.values, out);
    } catch (...) {
      --nested;
      throw;
    }
    --nested;
  }
  out += '>';
}

void append_range(const Range& range, std::string& out) {
  out += "range(" + std::to_string(range.start) + ", " + std::to_string(range.stop);
  if (range.step != 1) out += ", " + std::to_string(range.step);
  out += ')';
}

void append_repr(const Value& value, std::string& out) {
  Meter::tick(out.size());
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
      out += "Undefined";
      break;
    case Kind::none:
      out += "None";
      break;
    case Kind::boolean:
      out += value.as_bool() ? "True" : "False";
      break;
    case Kind::integer:
      out += std::to_string(value.as_integer());
      break;
    case Kind::real:
      out += repr(value.as_real());
      break;
    case Kind::string:
      if (value.markup()) {
        out += "Markup(" + repr(value.as_text()) + ")";
      } else {
        out += repr(value.as_text());
      }
      break;
    case Kind::list:
      out += '[';
      append_items(value.items(), out);
      out += ']';
      break;
    case Kind::tuple:
      out += '(';
      append_items(value.items(), out);
      out += value.items().size() == 1 ? ",)" : ")";
      break;
    case Kind::dict:
      append_dict(value.dict(), out);
      break;
    case Kind::range:
      append_range(value.object<Range>(), out);
      break;
    case Kind::view:
      append_view(value.object<View>(), out);
      break;
    case Kind::names:
      append_names(value.object<Names>(), out);
      break;
    case Kind::macro: {
      const Macro& macro = value.object<Macro>();
      out += macro.statement->kind == StmtKind::macro ? "<Macro " + repr(macro.name) + ">" : "<Macro anonymous>";
      break;
    }
    case Kind::loop: {
      Loop& loop = value.object<Loop>();
      out += "<LoopContext " + std::to_string(loop.index0 + 1) + "/" + std::to_string(loop.count()) + ">";
      break;
    }
    default:
      // Python shows an address here.
      out += std::string("<") + type_name(value) + " object>";
  }
}

}  // namespace

std::string repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer{};
  // Digits and exponent first, "d.ddde+XX"; Python shows an exponent below -4 and from 16 on.
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  const std::string_view text(buffer.data(), static_cast<size_t>(end.ptr - buffer.data()));
  const size_t e = text.find('e');
  int exponent = 0;
  const size_t digits = e + 1 + (text[e + 1] == '+' ? 1 : 0);
  std::from_chars(text.data() + digits, text.data() + text.size(), exponent);
  std::string mantissa(text.substr(0, e));
  if (exponent < -4 || exponent >= 16) {
    std::array<char, 16> tail{};
    std::snprintf(tail.data(), tail.size(), "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return mantissa + tail.data();
  }
  const bool negative = mantissa[0] == '-';
  if (negative) mantissa.erase(0, 1);
  if (mantissa.size() > 1) mantissa.erase(1, 1);  // the point
  std::string out = negative ? "-" : "";
  if (exponent < 0) {
    out += "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + mantissa;
  } else {
    const auto whole = static_cast<size_t>(exponent) + 1;
    if (mantissa.size() < whole) mantissa.append(whole - mantissa.size(), '0');
    out += mantissa.substr(0, whole) + "." + (mantissa.size() > whole ? mantissa.substr(whole) : "0");
  }
  return out;
}

std::string repr(std::string_view text) {
  const bool single = text.find('\'') != text.npos;
  const char quote = single && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char* p = text.data(); p < text.data() + text.size();) {
    const char* begin = p;
    const char32_t c = utf8::next(p);
    if (c == static_cast<char32_t>(quote) || c == U'\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == U'\n') {
      out += "\\n";
    } else if (c == U'\r') {
      out += "\\r";
    } else if (c == U'\t') {
      out += "\\t";
    } else if (!is_printable(c)) {
      append_escape(c, out);
    } else {
      out.append(begin, p);
    }
  }
  return out + quote;
}

std::string repr(const Value& value) {
  std::string out;
  append_repr(value, out);
  return out;
}

void append_str(const Value& value, std::string& out) {
  if (value.is(Kind::string)) {
    out += value.as_text();
  } else if (!value.is(Kind::undefined)) {
    append_repr(value, out);
  }
}

std::string str(const Value& value) {
  std::string out;
  append_str(value, out);
  return out;
}

}  // namespace mica::jinja
