// The methods of str.

#include <algorithm>
#include <array>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/chat/format.h"
#include "mica/tokenizers/chat/methods.h"
#include "mica/tokenizers/chat/operators.h"
#include "mica/tokenizers/chat/split.h"
#include "mica/tokenizers/chat/text_of.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {
namespace {

using Characters = std::u32string;

template <std::u32string (*map)(std::u32string_view)>
Value mapped(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "str method", args, {});
  return runtime.text(map(decode(self.as_text()))).set_markup(self.markup());
}

// Not empty, and each character has the property.
template <bool (*has)(char32_t)>
Value all_are(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "str method", args, {});
  const Characters text = decode(self.as_text());
  return Value::boolean(!text.empty() && std::all_of(text.begin(), text.end(), has));
}

bool is_alphanumeric(char32_t c) {
  return is_alpha(c) || is_decimal(c) || is_digit(c) || is_numeric(c);
}

Value isprintable(Runtime&, const Value& self, Args&) {
  const Characters text = decode(self.as_text());
  return Value::boolean(std::all_of(text.begin(), text.end(), is_printable));
}

Value isascii(Runtime&, const Value& self, Args&) {
  return Value::boolean(self.object<Text>().ascii());
}

Value isidentifier(Runtime&, const Value& self, Args&) {
  const Characters text = decode(self.as_text());
  return Value::boolean(!text.empty() && starts_identifier(text[0]) &&
                        std::all_of(text.begin() + 1, text.end(), continues_identifier));
}

Value isupper(Runtime&, const Value& self, Args&) {
  const Characters text = decode(self.as_text());
  return Value::boolean(std::any_of(text.begin(), text.end(), is_upper) &&
                        std::none_of(text.begin(), text.end(), [](char32_t c) { return is_lower(c) || is_title(c); }));
}

Value islower(Runtime&, const Value& self, Args&) {
  const Characters text = decode(self.as_text());
  return Value::boolean(std::any_of(text.begin(), text.end(), is_lower) &&
                        std::none_of(text.begin(), text.end(), [](char32_t c) { return is_upper(c) || is_title(c); }));
}

Value istitle(Runtime&, const Value& self, Args&) {
  bool inside = false, any = false;
  for (const char32_t c : decode(self.as_text())) {
    if (is_upper(c) || is_title(c)) {
      if (inside) return Value::boolean(false);
      inside = any = true;
    } else if (is_lower(c)) {
      if (!inside) return Value::boolean(false);
      any = true;
    } else {
      inside = false;
    }
  }
  return Value::boolean(any);
}

template <bool left, bool right>
Value strip(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "strip", args, {"chars"});
  std::optional<std::string> characters;
  if (!reader.is_none(0)) characters = reader.text(0);
  return runtime.text(strip_text(self.as_text(), characters, left, right)).set_markup(self.markup());
}

Value join(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "join", args, {"iterable"});
  runtime.check_defined(reader.value(0));
  std::string out;
  bool first = true;
  for (const Value& each : runtime.iterate(reader.value(0))) {
    if (!each.is(Kind::string)) {
      runtime.check_defined(each);
      runtime.fail(std::string("join() expected strings, found a value of type ") + type_name(each));
    }
    if (!first) out += self.as_text();
    first = false;
    out += each.as_text();
    runtime.meter().room(static_cast<int64_t>(out.size()));
  }
  return runtime.text(std::move(out));
}

Value replace(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "replace", args, {"old", "new", "count"});
  return runtime.text(replace_text(runtime, self.as_text(), reader.text(0), reader.text(1), reader.integer(2, -1)));
}

template <bool from_right>
Value split(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, from_right ? "rsplit" : "split", args, {"sep", "maxsplit"});
  std::optional<std::string> separator;
  if (!reader.is_none(0)) separator = reader.text(0);
  if (separator && separator->empty()) runtime.fail("split() with an empty separator");
  std::vector<Value> parts;
  for (std::string& part : split_text(self.as_text(), separator, reader.integer(1, -1), from_right)) {
    parts.push_back(runtime.text(std::move(part)));
  }
  return runtime.list(std::move(parts));
}

Value splitlines(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "splitlines", args, {"keepends"});
  std::vector<Value> lines;
  for (std::string& line : split_lines(self.as_text(), reader.flag(0, false))) {
    lines.push_back(runtime.text(std::move(line)));
  }
  return runtime.list(std::move(lines));
}

template <bool from_right>
Value partition(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "partition", args, {"sep"});
  const std::string& text = self.as_text();
  const std::string& separator = reader.text(0);
  if (separator.empty()) runtime.fail("partition() with an empty separator");
  const size_t at = from_right ? text.rfind(separator) : text.find(separator);
  if (at == std::string::npos) {
    return from_right ? runtime.tuple({runtime.text(""), runtime.text(""), self})
                      : runtime.tuple({self, runtime.text(""), runtime.text("")});
  }
  return runtime.tuple(
      {runtime.text(text.substr(0, at)), runtime.text(separator), runtime.text(text.substr(at + separator.size()))});
}

// The range that start and end of a method name, as places in the text.
std::pair<size_t, size_t> bounds(const Reader& reader, size_t first, int64_t length) {
  const auto place = [&](size_t i, int64_t fallback) {
    if (reader.is_none(i)) return fallback;
    const int64_t at = reader.integer(i);
    return std::clamp<int64_t>(at < 0 ? std::max<int64_t>(at, -length) + length : at, 0, length + 1);
  };
  return {static_cast<size_t>(place(first, 0)), static_cast<size_t>(std::min(place(first + 1, length), length))};
}

template <bool at_end>
Value starts_or_ends(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, at_end ? "endswith" : "startswith", args, {"prefix", "start", "end"});
  const Value& wanted = reader.value(0);
  runtime.check_defined(wanted);
  std::vector<Value> choices{wanted};
  if (wanted.is(Kind::tuple)) choices = wanted.items();
  std::string_view text = self.as_text();
  Characters all;
  std::string part;
  if (!reader.is_none(1) || !reader.is_none(2)) {
    all = decode(text);
    const auto [begin, end] = bounds(reader, 1, static_cast<int64_t>(all.size()));
    if (begin > end) return Value::boolean(false);
    part = encode(std::u32string_view(all).substr(begin, end - begin));
    text = part;
  }
  for (const Value& choice : choices) {
    if (!choice.is(Kind::string)) {
      runtime.fail(std::string(at_end ? "endswith" : "startswith") + "() takes a string or a tuple of strings");
    }
    if (at_end ? text.ends_with(choice.as_text()) : text.starts_with(choice.as_text())) return Value::boolean(true);
  }
  return Value::boolean(false);
}

// The place where `what` stands, in code points, or -1.
template <bool from_right>
int64_t place_of(Runtime& runtime, const Value& self, Args& args, const char* name) {
  const Reader reader(runtime, name, args, {"sub", "start", "end"});
  const Characters text = decode(self.as_text());
  const Characters what = decode(reader.text(0));
  runtime.meter().step(static_cast<int64_t>(text.size()) / 16);
  const auto [begin, end] = bounds(reader, 1, static_cast<int64_t>(text.size()));
  if (begin > end || what.size() > end - begin) return -1;
  const std::u32string_view part = std::u32string_view(text).substr(begin, end - begin);
  const size_t at = from_right ? part.rfind(what) : part.find(what);
  return at == part.npos ? -1 : static_cast<int64_t>(at + begin);
}

template <bool from_right>
Value find(Runtime& runtime, const Value& self, Args& args) {
  return Value::integer(place_of<from_right>(runtime, self, args, from_right ? "rfind" : "find"));
}

template <bool from_right>
Value index(Runtime& runtime, const Value& self, Args& args) {
  const int64_t at = place_of<from_right>(runtime, self, args, from_right ? "rindex" : "index");
  if (at < 0) runtime.fail("index() did not find its text");
  return Value::integer(at);
}

Value count(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "count", args, {"sub", "start", "end"});
  const Characters text = decode(self.as_text());
  const Characters what = decode(reader.text(0));
  runtime.meter().step(static_cast<int64_t>(text.size()) / 16);
  const auto [begin, end] = bounds(reader, 1, static_cast<int64_t>(text.size()));
  if (begin > end) return Value::integer(0);
  if (what.empty()) return Value::integer(static_cast<int64_t>(end - begin) + 1);
  const std::u32string_view part = std::u32string_view(text).substr(begin, end - begin);
  int64_t found = 0;
  for (size_t at = part.find(what); at != part.npos; at = part.find(what, at + what.size())) ++found;
  return Value::integer(found);
}

template <bool prefix>
Value remove_affix(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, prefix ? "removeprefix" : "removesuffix", args, {"affix"});
  const std::string& text = self.as_text();
  const std::string& affix = reader.text(0);
  if (prefix && text.starts_with(affix)) return runtime.text(text.substr(affix.size()));
  if (!prefix && text.ends_with(affix)) return runtime.text(text.substr(0, text.size() - affix.size()));
  return self;
}

// -1 left, 0 centred, 1 right.
template <int side>
Value justify(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "justify", args, {"width", "fillchar"});
  Characters fill = U" ";
  if (reader.has(1)) fill = decode(reader.text(1));
  if (fill.size() != 1) runtime.fail("the fill character must be one character");
  return runtime.text(pad_text(runtime, self, reader.integer(0), fill[0], side)).set_markup(self.markup());
}

Value zfill(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "zfill", args, {"width"});
  const std::string& text = self.as_text();
  const int64_t missing = reader.integer(0) - self.object<Text>().length;
  if (missing <= 0) return self;
  runtime.meter().room(missing);
  const size_t sign = !text.empty() && (text[0] == '+' || text[0] == '-') ? 1 : 0;
  return runtime.text(text.substr(0, sign) + std::string(static_cast<size_t>(missing), '0') + text.substr(sign));
}

Value expandtabs(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "expandtabs", args, {"tabsize"});
  const int64_t size = reader.integer(0, 8);
  Characters out;
  int64_t column = 0;
  for (const char32_t c : decode(self.as_text())) {
    if (c == U'\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      runtime.meter().room(spaces * 4 + static_cast<int64_t>(out.size()) * 4);
      out.append(static_cast<size_t>(spaces), U' ');
      column += spaces;
    } else {
      out += c;
      column = c == U'\n' || c == U'\r' ? 0 : column + 1;
    }
  }
  return runtime.text(out);
}

Value unsupported(Runtime& runtime, const Value&, Args&) {
  runtime.fail("encode(), translate() and maketrans() are not supported in chat templates");
}

Value format_map(Runtime& runtime, const Value& self, Args& args) {
  const Reader reader(runtime, "format_map", args, {"mapping"});
  if (!reader.value(0).is(Kind::dict)) runtime.fail("format_map() takes a dict");
  Args inner;
  for (const auto& [key, value] : reader.value(0).dict().entries) {
    if (key.is(Kind::string)) inner.named.emplace_back(key.as_text(), value);
  }
  return brace_format(runtime, self, inner);
}

constexpr std::array<Method, 47> kMethods = {{
    {"capitalize", mapped<capitalize>},
    {"casefold", mapped<casefold>},
    {"center", justify<0>},
    {"count", count},
    {"encode", unsupported},
    {"endswith", starts_or_ends<true>},
    {"expandtabs", expandtabs},
    {"find", find<false>},
    {"format", brace_format},
    {"format_map", format_map},
    {"index", index<false>},
    {"isalnum", all_are<is_alphanumeric>},
    {"isalpha", all_are<is_alpha>},
    {"isascii", isascii},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isidentifier", isidentifier},
    {"islower", islower},
    {"isnumeric", all_are<is_numeric>},
    {"isprintable", isprintable},
    {"isspace", all_are<is_space>},
    {"istitle", istitle},
    {"isupper", isupper},
    {"join", join},
    {"ljust", justify<-1>},
    {"lower", mapped<lower>},
    {"lstrip", strip<true, false>},
    {"maketrans", unsupported},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
    {"replace", replace},
    {"rfind", find<true>},
    {"rindex", index<true>},
    {"rjust", justify<1>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"splitlines", splitlines},
    {"startswith", starts_or_ends<false>},
    {"strip", strip<true, true>},
    {"swapcase", mapped<swapcase>},
    {"title", mapped<title>},
    {"translate", unsupported},
    {"upper", mapped<upper>},
    {"zfill", zfill},
}};

}  // namespace

const Method* find_text_method(const std::string& name) {
  const auto* it = std::find_if(kMethods.begin(), kMethods.end(), [&](const Method& m) { return name == m.name; });
  return it == kMethods.end() ? nullptr : it;
}

}  // namespace mica::jinja
