// Filters that make text of text, and text of anything.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/filters.h"
#include "mica/tokenizers/chat/format.h"
#include "mica/tokenizers/chat/operators.h"
#include "mica/tokenizers/chat/split.h"
#include "mica/tokenizers/chat/text_of.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {
namespace {

// The value as a string; marked text stays so.
Value soft(Runtime& runtime, const Value& value) {
  return value.is(Kind::string) ? value : runtime.text(str(value));
}

template <std::u32string (*map)(std::u32string_view)>
Value mapped(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "filter", args, {});
  return runtime.text(map(decode(str(value)))).set_markup(value.markup());
}

// Jinja's own idea of a title: words begin behind white space, hyphens and opening brackets only.
Value title_filter(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "title", args, {});
  const std::u32string text = decode(str(value));
  const auto breaks = [](char32_t c) {
    return is_space(c) || std::u32string_view(U"-({[<").find(c) != std::u32string_view::npos;
  };
  std::u32string out;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin + 1;
    while (end < text.size() && breaks(text[end]) == breaks(text[begin])) ++end;
    const std::u32string_view word = std::u32string_view(text).substr(begin, end - begin);
    out += upper(word.substr(0, 1)) + lower(word.substr(1));
    begin = end;
  }
  return runtime.text(out);
}

Value trim(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "trim", args, {"chars"});
  std::optional<std::string> characters;
  if (!reader.is_none(0)) characters = reader.text(0);
  return runtime.text(strip_text(str(value), characters, true, true)).set_markup(value.markup());
}

Value replace(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "replace", args, {"old", "new", "count"});
  const int64_t count = reader.is_none(2) ? -1 : reader.integer(2);
  return runtime.text(replace_text(runtime, str(value), str(reader.value(0)), str(reader.value(1)), count));
}

Value indent(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "indent", args, {"width", "first", "blank"});
  std::string indention;
  const Value width = reader.value(0, Value::integer(4));
  if (width.is(Kind::string)) {
    indention = width.as_text();
  } else {
    const int64_t count = reader.integer(0, 4);
    runtime.meter().room(count);
    indention.assign(static_cast<size_t>(std::max<int64_t>(count, 0)), ' ');
  }
  if (!value.is(Kind::string)) {
    runtime.check_defined(value);
    runtime.fail(std::string("indent wants a string, not ") + type_name(value));
  }
  const bool blank = reader.flag(2, false);
  std::string out = reader.flag(1, false) ? indention : "";
  bool first = true;
  for (const std::string& line : split_lines(value.as_text() + "\n", false)) {
    if (!first) out += '\n';
    if (!first && (blank || !line.empty())) out += indention;
    out += line;
    first = false;
    runtime.meter().room(static_cast<int64_t>(out.size()));
  }
  return runtime.text(std::move(out)).set_markup(value.markup());
}

Value truncate(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "truncate", args, {"length", "killwords", "end", "leeway"});
  const auto size = length_of(value);
  if (!size) runtime.fail(std::string("a value of type ") + type_name(value) + " has no length");
  const std::u32string end = decode(reader.has(2) ? reader.text(2) : "...");
  const int64_t length = reader.integer(0, 255);
  const int64_t leeway = reader.is_none(3) ? 5 : reader.integer(3);
  if (length < static_cast<int64_t>(end.size()) || leeway < 0)
    runtime.fail("truncate wants a length that holds its end");
  if (*size <= length || *size - length <= leeway) return value;
  if (!value.is(Kind::string)) runtime.fail(std::string("truncate wants a string, not ") + type_name(value));
  const std::u32string text = decode(value.as_text());
  std::u32string kept = text.substr(0, static_cast<size_t>(length) - end.size());
  if (!reader.flag(1, false)) {
    const size_t space = kept.rfind(U' ');
    if (space != kept.npos) kept.resize(space);
  }
  return runtime.text(kept + end);
}

Value center(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "center", args, {"width"});
  return runtime.text(pad_text(runtime, soft(runtime, value), reader.integer(0, 80), U' ', 0))
      .set_markup(value.markup());
}

Value wordcount(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "wordcount", args, {});
  int64_t words = 0;
  bool inside = false;
  for (const char32_t c : decode(str(value))) {
    words += is_word(c) && !inside ? 1 : 0;
    inside = is_word(c);
  }
  return Value::integer(words);
}

Value format(Runtime& runtime, const Value& value, Args& args) {
  if (!args.positional.empty() && !args.named.empty())
    runtime.fail("format takes values by position or by name, not both");
  if (args.named.empty()) return percent_format(runtime, soft(runtime, value), runtime.tuple(args.positional));
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, each] : args.named) entries.emplace_back(runtime.text(name), each);
  return percent_format(runtime, soft(runtime, value), runtime.dict(std::move(entries)));
}

Value tojson(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = reader.flag(0, false);
  style.sort_keys = reader.flag(3, false);
  if (!reader.is_none(1)) {
    const Value& width = reader.value(1);
    if (width.is(Kind::string)) {
      style.indent = width.as_text();
    } else {
      const int64_t count = std::max<int64_t>(reader.integer(1), 0);
      if (count > 1000) runtime.fail("tojson with an indent beyond 1000");
      style.indent = std::string(static_cast<size_t>(count), ' ');
    }
    style.item_separator = ",";
  }
  if (!reader.is_none(2)) {
    const std::vector<Value> separators = runtime.iterate(reader.value(2));
    if (separators.size() != 2 || !separators[0].is(Kind::string) || !separators[1].is(Kind::string)) {
      runtime.fail("tojson wants two strings as separators");
    }
    style.item_separator = separators[0].as_text();
    style.key_separator = separators[1].as_text();
  }
  try {
    return runtime.text(to_json_text(value, style));
  } catch (const std::string& problem) {
    runtime.fail(problem);
  }
}

Value striptags(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "striptags", args, {});
  std::string text = str(value);
  // Comments first, then tags, then white space.
  for (const auto& [open, shut] : {std::pair<const char*, const char*>{"<!--", "-->"}, {"<", ">"}}) {
    std::string out;
    size_t begin = 0;
    for (size_t at = text.find(open); at != text.npos; at = text.find(open, begin)) {
      const size_t end = text.find(shut, at);
      if (end == text.npos) break;
      out.append(text, begin, at - begin);
      begin = end + std::string_view(shut).size();
    }
    text = out.append(text, begin);
  }
  std::string out;
  for (const std::string& word : split_text(text, std::nullopt, -1, false)) out += (out.empty() ? "" : " ") + word;
  for (const auto& [from, to] : {std::pair<const char*, const char*>{"&lt;", "<"},
                                 {"&gt;", ">"},
                                 {"&#34;", "\""},
                                 {"&quot;", "\""},
                                 {"&#39;", "'"},
                                 {"&amp;", "&"}}) {
    out = replace_text(runtime, out, from, to, -1);
  }
  return runtime.text(std::move(out));
}

std::string quoted(Runtime& runtime, const Value& value, bool query) {
  std::string out;
  for (const char c : str(value)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("_.-~").find(c) != std::string_view::npos || (!query && c == '/');
    if (plain) {
      out += c;
    } else if (query && c == ' ') {
      out += '+';
    } else {
      std::array<char, 8> buffer{};
      std::snprintf(buffer.data(), buffer.size(), "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += buffer.data();
    }
  }
  runtime.meter().room(static_cast<int64_t>(out.size()));
  return out;
}

Value urlencode(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "urlencode", args, {});
  if (value.is(Kind::string) || !(length_of(value) || value.is(Kind::iterator)))
    return runtime.text(quoted(runtime, value, false));
  const Value pairs = value.is(Kind::dict) ? runtime.view(View::Part::items, value) : value;
  std::string out;
  for (const Value& pair : runtime.iterate(pairs)) {
    const std::vector<Value> two = runtime.iterate(pair);
    if (two.size() != 2) runtime.fail("urlencode wants pairs");
    out += (out.empty() ? "" : "&") + quoted(runtime, two[0], true) + "=" + quoted(runtime, two[1], true);
  }
  return runtime.text(std::move(out));
}

Value filesizeformat(Runtime& runtime, const Value& value, Args& args) {
  const Reader reader(runtime, "filesizeformat", args, {"binary"});
  const bool binary = reader.flag(0, false);
  Args none;
  const double bytes = runtime.filter("float", value, none).as_real();
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return runtime.text("1 Byte");
  std::array<char, 512> buffer{};
  if (bytes < base) {
    std::snprintf(buffer.data(), buffer.size(), "%.0f Bytes", std::trunc(bytes));
    return runtime.text(buffer.data());
  }
  double unit = base;
  const char* const letters = "kMGTPEZY";
  for (int i = 0; i < 8; ++i) {
    unit *= base;
    if (bytes < unit || i == 7) {
      const char letter = binary && i == 0 ? 'K' : letters[i];
      std::snprintf(buffer.data(), buffer.size(), "%.1f %c%s", base * bytes / unit, letter, binary ? "iB" : "B");
      break;
    }
  }
  return runtime.text(buffer.data());
}

Value wordwrap(Runtime& runtime, const Value&, Args&) {
  runtime.fail("the filters wordwrap, urlize, xmlattr, pprint and random are not supported in chat templates");
}

}  // namespace

void add_text_filters(Table& table) {
  table["upper"] = mapped<upper>;
  table["lower"] = mapped<lower>;
  table["capitalize"] = mapped<capitalize>;
  table["title"] = title_filter;
  table["trim"] = trim;
  table["replace"] = replace;
  table["indent"] = indent;
  table["truncate"] = truncate;
  table["center"] = center;
  table["wordcount"] = wordcount;
  table["format"] = format;
  table["tojson"] = tojson;
  table["striptags"] = striptags;
  table["urlencode"] = urlencode;
  table["filesizeformat"] = filesizeformat;
  table["string"] = [](Runtime& runtime, const Value& value, Args&) { return soft(runtime, value); };
  table["safe"] = [](Runtime& runtime, const Value& value, Args&) { return soft(runtime, value).set_markup(true); };
  table["escape"] = table["e"] = [](Runtime& runtime, const Value& value, Args&) { return escape(runtime, value); };
  table["forceescape"] = [](Runtime& runtime, const Value& value, Args&) {
    return escape(runtime, runtime.text(str(value)));
  };
  for (const char* name : {"wordwrap", "urlize", "xmlattr", "pprint", "random"}) table[name] = wordwrap;
}

}  // namespace mica::jinja
