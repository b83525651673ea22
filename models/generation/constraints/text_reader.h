#pragma once
// What the readers of expressions and grammars share: characters one by one, and numbers.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mica::constraint_detail {

/// Over valid UTF-8.
class TextReader {
 public:
  static constexpr char32_t kEnd = 0xffffffff;
  explicit TextReader(std::string_view text) : text_(text) {}

  bool at_end() const { return at_ >= text_.size(); }
  size_t place() const { return at_; }
  std::string_view text() const { return text_; }
  /// The next character, kEnd at the end.
  char32_t peek() const;
  char32_t next();
  bool accept(std::string_view what) {
    if (text_.substr(at_, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }
  bool looks_at(std::string_view what) const { return text_.substr(at_, what.size()) == what; }
  /// Decimal digits as a number up to 1,000,000,000; nothing when there are none or they are more.
  std::optional<int64_t> number();
  /// Exactly `count` hexadecimal digits; with count 0, any number of them up to 8. Nothing when there are fewer, and
  /// for what is no character.
  std::optional<char32_t> hex(int count);

 private:
  std::string_view text_;
  size_t at_ = 0;
};

/// A count in braces, after the opening one: "3}", "3,}", "3,5}". Nothing when it is none, or 5,3.
struct Count {
  int64_t min = 0, max = 0;  // max -1: without end
};
std::optional<Count> read_count(TextReader& reader);

}  // namespace mica::constraint_detail
