#pragma once
// Addresses in tweets: what begins with http: or https:, a domain with a slash behind it, or a domain alone (J.
// Gruber's pattern, as NLTK has it).

#include <cstdint>
#include <string_view>
#include <vector>

namespace mica {

/// Looks at each place of one text, in any order; all together in time proportional to the text.
class TweetLinks {
 public:
  explicit TweetLinks(std::u32string_view text);
  /// Where the address that starts here ends; `begin` where none does.
  size_t end_of(size_t begin) const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  void find_paths();
  void find_domains();
  char32_t at(size_t i) const { return i < text_.size() ? text_[i] : U'\0'; }
  uint32_t last_part(size_t begin, uint32_t bracket) const;
  size_t scheme(size_t begin) const;

  std::u32string_view text_;
  std::vector<uint32_t> paths_;         // where one or more parts from here on, and what must end them, end
  std::vector<uint32_t> before_slash_;  // of a run of letters, digits, dots and dashes: the slash of a domain
  std::vector<uint32_t> bare_;          // where the longest domain that begins here ends
};

}  // namespace mica
