#include "mica/tokenizers/chat/split.h"

#include <algorithm>
#include <limits>

#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {

std::string strip_text(std::string_view text, const std::optional<std::string>& characters, bool left, bool right) {
  const std::u32string set = characters ? decode(*characters) : std::u32string();
  const auto goes = [&](char32_t c) { return characters ? set.find(c) != set.npos : is_space(c); };
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    const char* p = text.data() + begin;
    if (!goes(utf8::next(p))) break;
    begin = static_cast<size_t>(p - text.data());
  }
  while (right && end > begin) {
    const size_t start = utf8::last_start(text, end);
    const char* p = text.data() + start;
    if (!goes(utf8::next(p))) break;
    end = start;
  }
  return std::string(text.substr(begin, end - begin));
}

namespace {

std::vector<std::string> split_at(std::string_view text, std::string_view separator, int64_t limit, bool from_right) {
  std::vector<std::string> parts;
  while (limit != 0) {
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == text.npos) break;
    if (from_right) {
      parts.emplace_back(text.substr(at + separator.size()));
      text = text.substr(0, at);
    } else {
      parts.emplace_back(text.substr(0, at));
      text = text.substr(at + separator.size());
    }
    --limit;
  }
  parts.emplace_back(text);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string> split_at_space(std::string_view text, int64_t limit, bool from_right) {
  const std::u32string all = decode(text);
  std::vector<std::string> parts;
  const auto add = [&](size_t begin, size_t end) {
    parts.push_back(encode(std::u32string_view(all).substr(begin, end - begin)));
  };
  if (from_right) {
    size_t end = all.size();
    for (;;) {
      while (end > 0 && is_space(all[end - 1])) --end;
      if (end == 0) break;
      size_t begin = limit == 0 ? 0 : end;
      while (begin > 0 && !is_space(all[begin - 1])) --begin;
      add(begin, end);
      end = begin;
      if (limit == 0) break;
      --limit;
    }
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  size_t begin = 0;
  for (;;) {
    while (begin < all.size() && is_space(all[begin])) ++begin;
    if (begin == all.size()) break;
    size_t end = limit == 0 ? all.size() : begin;
    while (end < all.size() && !is_space(all[end])) ++end;
    add(begin, end);
    begin = end;
    if (limit == 0) break;
    --limit;
  }
  return parts;
}

}  // namespace

std::vector<std::string> split_text(std::string_view text, const std::optional<std::string>& separator, int64_t limit,
                                    bool from_right) {
  if (limit < 0) limit = std::numeric_limits<int64_t>::max();
  return separator ? split_at(text, *separator, limit, from_right) : split_at_space(text, limit, from_right);
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> lines;
  const char* const end = text.data() + text.size();
  const char* begin = text.data();
  for (const char* p = begin; p < end;) {
    const char* here = p;
    const char32_t c = utf8::next(p);
    if (!is_line_break(c)) continue;
    if (c == U'\r' && p < end && *p == '\n') ++p;
    lines.emplace_back(begin, keep_ends ? p : here);
    begin = p;
  }
  if (begin < end) lines.emplace_back(begin, end);
  return lines;
}

std::string replace_text(Runtime& runtime, std::string_view text, std::string_view from, std::string_view to,
                         int64_t count) {
  std::string out;
  runtime.meter().step(static_cast<int64_t>(text.size() / 32));
  if (from.empty()) {
    // Before each character, and at the end.
    const char* p = text.data();
    const char* const end = text.data() + text.size();
    for (; count != 0; --count) {
      out += to;
      runtime.meter().room(static_cast<int64_t>(out.size()));
      if (p == end) return out;
      const char* begin = p;
      utf8::next(p);
      out.append(begin, p);
    }
    return out.append(p, end);
  }
  size_t begin = 0;
  for (size_t at = text.find(from); at != text.npos && count != 0; at = text.find(from, begin), --count) {
    out.append(text.substr(begin, at - begin)).append(to);
    runtime.meter().room(static_cast<int64_t>(out.size()));
    begin = at + from.size();
  }
  return out.append(text.substr(begin));
}

std::string pad_text(Runtime& runtime, const Value& text, int64_t width, char32_t fill, int side) {
  const int64_t length = text.object<Text>().length;
  const int64_t missing = std::max<int64_t>(width - length, 0);
  runtime.meter().room(std::min(missing, std::numeric_limits<int64_t>::max() / 8) * 4);
  // Python's own rule for the odd character of centred text.
  const int64_t left = side < 0 ? 0 : side > 0 ? missing : missing / 2 + (missing & width & 1);
  const auto spaces = [&](int64_t count) { return encode(std::u32string(static_cast<size_t>(count), fill)); };
  return spaces(left) + text.as_text() + spaces(missing - left);
}

}  // namespace mica::jinja
