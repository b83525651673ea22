// json.dumps, as the filter tojson of transformers calls it.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/text_of.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {
namespace {

void append_unit(unsigned unit, std::string& out) {
  std::array<char, 16> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "\\u%04x", unit);
  out += buffer.data();
}

void append_text(std::string_view text, bool ascii, std::string& out) {
  out += '"';
  for (const char* p = text.data(); p < text.data() + text.size();) {
    const char* begin = p;
    const char32_t c = utf8::next(p);
    const std::u32string_view from = U"\"\\\n\r\t\f\b";
    const std::string_view to = "\"\\nrtfb";
    if (const size_t known = from.find(c); known != from.npos) {
      out += '\\';
      out += to[known];
    } else if (c < 0x20 || (ascii && c > 0x7e && c < 0x10000 && c != 0x7f)) {
      append_unit(c, out);
    } else if (ascii && c >= 0x10000) {
      append_unit(0xd800 + ((c - 0x10000) >> 10), out);
      append_unit(0xdc00 + ((c - 0x10000) & 0x3ff), out);
    } else {
      out.append(begin, p);
    }
  }
  out += '"';
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return repr(value);
}

class Writer {
 public:
  explicit Writer(const JsonStyle& style) : style_(style) {}

  void write(const Value& value) {
    Meter::tick(out_.size());
    switch (value.kind()) {
      case Kind::none:
        out_ += "null";
        break;
      case Kind::boolean:
        out_ += value.as_bool() ? "true" : "false";
        break;
      case Kind::integer:
        out_ += std::to_string(value.as_integer());
        break;
      case Kind::real:
        out_ += number(value.as_real());
        break;
      case Kind::string:
        append_text(value.as_text(), style_.ensure_ascii, out_);
        break;
      case Kind::list:
      case Kind::tuple:
        write_list(value.items());
        break;
      case Kind::dict:
        write_dict(value.dict());
        break;
      default:
        throw std::string("a value of type ") + type_name(value) + " has no form in JSON";
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void new_line() {
    if (!style_.indent) return;
    out_ += '\n';
    for (int i = 0; i < level_; ++i) out_ += *style_.indent;
  }

  void write_list(const std::vector<Value>& values) {
    if (values.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    ++level_;
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      new_line();
      write(values[i]);
    }
    --level_;
    new_line();
    out_ += ']';
  }

  void write_dict(const Dict& dict) {
    if (dict.entries.empty()) {
      out_ += "{}";
      return;
    }
    std::vector<const std::pair<Value, Value>*> entries;
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) sort(entries);
    out_ += '{';
    ++level_;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      new_line();
      append_text(key(entries[i]->first), style_.ensure_ascii, out_);
      out_ += style_.key_separator;
      write(entries[i]->second);
    }
    --level_;
    new_line();
    out_ += '}';
  }

  static void sort(std::vector<const std::pair<Value, Value>*>& entries) {
    for (const auto* entry : entries) {
      if (entry->first.is_number() != entries[0]->first.is_number() ||
          (!entry->first.is_number() && !entry->first.is(Kind::string) && entries.size() > 1)) {
        throw std::string("keys of different types can't be sorted");
      }
    }
    std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
      if (a->first.is(Kind::string)) return a->first.as_text() < b->first.as_text();
      return a->first.as_real() < b->first.as_real();
    });
  }

  static std::string key(const Value& value) {
    switch (value.kind()) {
      case Kind::string:
        return value.as_text();
      case Kind::boolean:
        return value.as_bool() ? "true" : "false";
      case Kind::integer:
        return std::to_string(value.as_integer());
      case Kind::real:
        return number(value.as_real());
      case Kind::none:
        return "null";
      default:
        throw std::string("a value of type ") + type_name(value) + " is no key of a JSON object";
    }
  }

  const JsonStyle& style_;
  std::string out_;
  int level_ = 0;
};

}  // namespace

std::string to_json_text(const Value& value, const JsonStyle& style) {
  Writer writer(style);
  writer.write(value);
  return writer.take();
}

}  // namespace mica::jinja
