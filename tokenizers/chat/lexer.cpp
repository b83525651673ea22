#include "mica/tokenizers/chat/lexer.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {
namespace {

constexpr std::array<std::string_view, 27> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool digit(char c) {
  return c >= '0' && c <= '9';
}

// \r\n and \r become \n; one newline at the very end is dropped.
std::string normalize(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') continue;
      text += '\n';
    } else {
      text += source[i];
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : text_(normalize(source)) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) root();
    add(TokenKind::end, {});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(std::string problem) const { throw SyntaxError{std::move(problem), line_}; }

  bool starts(std::string_view word) const { return std::string_view(text_).substr(at_).starts_with(word); }

  void advance(size_t to) {
    line_ += static_cast<int32_t>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                             text_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  Token& add(TokenKind kind, std::string text) {
    Token& token = tokens_.emplace_back();
    token.kind = kind;
    token.line = line_;
    token.text = std::move(text);
    return token;
  }

  // Where the white space from `i` on ends.
  size_t skip_space(size_t i) const {
    while (i < text_.size()) {
      const char* p = text_.data() + i;
      if (!is_space(utf8::next(p))) break;
      i = static_cast<size_t>(p - text_.data());
    }
    return i;
  }

  // The length of text_[begin, end) without the white space at its end.
  size_t strip_end(size_t begin, size_t end) const {
    while (end > begin) {
      const size_t start = utf8::last_start(text_, end);
      const char* p = text_.data() + start;
      if (!is_space(utf8::next(p))) break;
      end = start;
    }
    return end;
  }

  // Text up to a tag that starts at `tag`; `sign` is the character behind the tag's start.
  void data(size_t tag, char sign, bool variable) {
    size_t end = tag;
    if (sign == '-') {
      end = strip_end(at_, tag);
    } else if (sign != '+' && !variable) {
      const size_t newline = std::string_view(text_).substr(at_, tag - at_).rfind('\n');
      const size_t line_begin = newline == std::string::npos ? at_ : at_ + newline + 1;
      if ((line_begin > at_ || line_starting_) && strip_end(line_begin, tag) == line_begin) end = line_begin;
    }
    if (end > at_) add(TokenKind::data, text_.substr(at_, end - at_));
    advance(tag);
  }

  char sign_at(size_t i) const { return i < text_.size() && (text_[i] == '-' || text_[i] == '+') ? text_[i] : ' '; }

  // The end of "{%- word -%}" that starts at `i`, or npos. At the end the newline is swallowed where `trim` says so.
  size_t match_tag(size_t i, std::string_view word, bool trim) const {
    if (text_.compare(i, 2, "{%") != 0) return std::string::npos;
    i += sign_at(i + 2) == ' ' ? 2 : 3;
    i = skip_space(i);
    if (text_.compare(i, word.size(), word) != 0) return std::string::npos;
    i = skip_space(i + word.size());
    if (text_.compare(i, 3, "-%}") == 0) return skip_space(i + 3);
    if (trim && text_.compare(i, 3, "+%}") == 0) return i + 3;
    if (text_.compare(i, 2, "%}") != 0) return std::string::npos;
    i += 2;
    return trim && i < text_.size() && text_[i] == '\n' ? i + 1 : i;
  }

  void finish_tag(size_t end) {
    line_starting_ = end > 0 && text_[end - 1] == '\n';
    advance(end);
  }

  void root() {
    size_t tag = at_;
    for (;; ++tag) {
      tag = text_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= text_.size()) {
        add(TokenKind::data, text_.substr(at_));
        advance(text_.size());
        return;
      }
      const char next = text_[tag + 1];
      if (next == '{' || next == '%' || next == '#') break;
    }
    const char sign = sign_at(tag + 2);
    const char which = text_[tag + 1];
    const size_t raw = which == '%' ? match_tag(tag, "raw", false) : std::string::npos;
    data(tag, sign, which == '{');
    if (raw != std::string::npos) {
      finish_tag(raw);
      raw_block();
    } else if (which == '#') {
      comment(tag + (sign == ' ' ? 2 : 3));
    } else {
      advance(tag + (sign == ' ' ? 2 : 3));
      add(which == '{' ? TokenKind::variable_begin : TokenKind::block_begin, {});
      line_starting_ = false;
      inside(which == '{');
    }
  }

  void raw_block() {
    for (size_t tag = text_.find("{%", at_); tag != std::string::npos; tag = text_.find("{%", tag + 1)) {
      const size_t end = match_tag(tag, "endraw", true);
      if (end == std::string::npos) continue;
      data(tag, sign_at(tag + 2), false);
      finish_tag(end);
      return;
    }
    fail("a raw block has no {% endraw %}");
  }

  void comment(size_t begin) {
    const size_t end = text_.find("#}", begin);
    if (end == std::string::npos) fail("a comment has no #}");
    size_t next = end + 2;
    const char before = end > begin ? text_[end - 1] : ' ';
    if (before == '-') {
      next = skip_space(next);
    } else if (before != '+' && next < text_.size() && text_[next] == '\n') {
      ++next;
    }
    finish_tag(next);
  }

  // The end of the tag at the current place, or npos.
  size_t tag_end(bool variable) const {
    const std::string_view close = variable ? "}}" : "%}";
    if (starts("-" + std::string(close))) return skip_space(at_ + 3);
    if (!variable && starts("+%}")) return at_ + 3;
    if (!starts(close)) return std::string::npos;
    return !variable && at_ + 2 < text_.size() && text_[at_ + 2] == '\n' ? at_ + 3 : at_ + 2;
  }

  void inside(bool variable) {
    std::string open;
    for (;;) {
      const size_t end = open.empty() ? tag_end(variable) : std::string::npos;
      if (end != std::string::npos) {
        add(variable ? TokenKind::variable_end : TokenKind::block_end, {});
        finish_tag(end);
        return;
      }
      if (at_ >= text_.size()) return;  // the parser says what is missing
      if (const size_t space = skip_space(at_); space > at_) {
        advance(space);
      } else if (digit(text_[at_])) {
        number();
      } else if (text_[at_] == '\'' || text_[at_] == '"') {
        string();
      } else if (!name()) {
        op(open);
      }
    }
  }

  void op(std::string& open) {
    for (const std::string_view sign : kOperators) {
      if (sign.empty() || !starts(sign)) continue;
      if (sign == "{" || sign == "(" || sign == "[") {
        open += sign == "{" ? '}' : sign == "(" ? ')' : ']';
      } else if (sign == "}" || sign == ")" || sign == "]") {
        if (open.empty()) fail("unexpected '" + std::string(sign) + "'");
        if (open.back() != sign[0]) {
          fail("unexpected '" + std::string(sign) + "' where '" + std::string(1, open.back()) + "' should be");
        }
        open.pop_back();
      }
      add(TokenKind::op, std::string(sign));
      advance(at_ + sign.size());
      return;
    }
    const char* p = text_.data() + at_;
    utf8::next(p);
    fail("unexpected character \"" + printable(std::string_view(text_.data() + at_, p)) + "\"");
  }

  bool name() {
    size_t i = at_;
    while (i < text_.size()) {
      const char* p = text_.data() + i;
      if (!is_word(utf8::next(p))) break;
      i = static_cast<size_t>(p - text_.data());
    }
    if (i == at_) return false;
    add(TokenKind::name, text_.substr(at_, i - at_));
    advance(i);
    return true;
  }

  // (\d+_)*\d+ from `i` on; its end, or `i` itself.
  size_t digits(size_t i) const {
    while (i < text_.size() && digit(text_[i])) {
      ++i;
      if (i + 1 < text_.size() && text_[i] == '_' && digit(text_[i + 1])) ++i;
    }
    return i;
  }

  void number() {
    const bool after_point = at_ > 0 && text_[at_ - 1] == '.';
    const size_t whole = digits(at_);
    size_t fraction = whole;
    if (whole < text_.size() && text_[whole] == '.' && digits(whole + 1) > whole + 1) fraction = digits(whole + 1);
    size_t end = fraction;
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      const size_t sign = end + 1 < text_.size() && (text_[end + 1] == '+' || text_[end + 1] == '-') ? 1 : 0;
      const size_t exponent = digits(end + 1 + sign);
      if (exponent > end + 1 + sign) end = exponent;
    }
    if (end > whole && !after_point) {
      std::string text = text_.substr(at_, end - at_);
      std::erase(text, '_');
      const double value = std::strtod(text.c_str(), nullptr);
      add(TokenKind::real, text).real = value;
      advance(end);
      return;
    }
    integer(whole);
  }

  void integer(size_t end) {
    int base = 10;
    size_t begin = at_;
    if (text_[at_] == '0') {
      const char kind = at_ + 1 < text_.size() ? static_cast<char>(text_[at_ + 1] | 0x20) : ' ';
      base = kind == 'b' ? 2 : kind == 'o' ? 8 : kind == 'x' ? 16 : 10;
      const auto fits = [&](size_t i) {
        const auto value = i < text_.size() ? digit_value(text_[i]) : 99;
        return value < base;
      };
      if (base == 10) {
        // Zeros only: what follows them is another number.
        for (end = begin; end < text_.size() && text_[end] == '0'; ++end) {
        }
      } else {
        end = begin + 2;
        while (fits(end) || (end < text_.size() && text_[end] == '_' && fits(end + 1))) ++end;
        if (end == begin + 2) {
          base = 10;
          end = begin + 1;
        } else {
          begin += 2;
        }
      }
    }
    int64_t value = 0;
    for (size_t i = begin; i < end; ++i) {
      if (text_[i] == '_') continue;
      if (__builtin_mul_overflow(value, int64_t{base}, &value) ||
          __builtin_add_overflow(value, int64_t{digit_value(text_[i])}, &value)) {
        fail("an integer beyond 64 bits");
      }
    }
    add(TokenKind::integer, text_.substr(at_, end - at_)).integer = value;
    advance(end);
  }

  static int digit_value(char c) {
    if (digit(c)) return c - '0';
    const char small = static_cast<char>(c | 0x20);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : 99;
  }

  void string() {
    const char quote = text_[at_];
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote) end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) fail("a string has no end");
    add(TokenKind::string, unescape(std::string_view(text_).substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
  }

  // Exactly `count` hexadecimal digits at `i`.
  char32_t hexadecimal(std::string_view text, size_t i, size_t count) const {
    char32_t value = 0;
    for (size_t k = 0; k < count; ++k) {
      const int next = i + k < text.size() ? digit_value(text[i + k]) : 99;
      if (next > 15) fail("a \\x, \\u or \\U in a string lacks digits");
      value = value * 16 + static_cast<char32_t>(next);
    }
    return value;
  }

  std::string unescape(std::string_view text) const {
    std::string out;
    for (size_t i = 0; i < text.size();) {
      if (text[i] != '\\' || i + 1 >= text.size()) {
        out += text[i++];
        continue;
      }
      const char c = text[i + 1];
      i += 2;
      const std::string_view from = "abfnrtv\\'\"", to = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t known = from.find(c); known != from.npos) {
        out += to[known];
      } else if (c == '\n') {
        // A line that goes on.
      } else if (c >= '0' && c <= '7') {
        char32_t value = static_cast<char32_t>(c - '0');
        for (int k = 0; k < 2 && i < text.size() && text[i] >= '0' && text[i] <= '7'; ++k) {
          value = value * 8 + static_cast<char32_t>(text[i++] - '0');
        }
        utf8::append(value, out);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        const char32_t value = hexadecimal(text, i, count);
        if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) fail("an escape in a string is no character");
        utf8::append(value, out);
        i += count;
      } else if (c == 'N') {
        fail("a character by its name (\\N) is not supported");
      } else if (static_cast<unsigned char>(c) >= 0x80) {
        // The reference turns the character into an escape first, and its backslash is then escaped by the other.
        const char* p = text.data() + i - 1;
        const char32_t value = utf8::next(p);
        i = static_cast<size_t>(p - text.data());
        std::array<char, 16> buffer{};
        std::snprintf(buffer.data(), buffer.size(),
                      value < 0x100     ? "\\x%02x"
                      : value < 0x10000 ? "\\u%04x"
                                        : "\\U%08x",
                      static_cast<unsigned>(value));
        out += buffer.data();
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  std::string text_;
  size_t at_ = 0;
  int32_t line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace mica::jinja
