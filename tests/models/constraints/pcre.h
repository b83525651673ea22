#pragma once
// PCRE2 as a reference for regular expressions.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace mica::test {

class Pcre {
 public:
  struct Options {
    bool utf = false;
    bool whole = false;  // the match must be the whole text
  };
  Pcre(const std::string& expression, Options options) {
    const uint32_t flags = (options.utf ? PCRE2_UTF : 0) | (options.whole ? PCRE2_ANCHORED : 0) | PCRE2_DOLLAR_ENDONLY;
    const std::string text = options.whole ? "(?:" + expression + ")\\z" : expression;
    int error = 0;
    PCRE2_SIZE where = 0;
    code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), flags, &error, &where, nullptr);
    if (code_ == nullptr) throw std::runtime_error("PCRE2 does not compile " + expression);
    match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
  }
  ~Pcre() {
    pcre2_match_data_free(match_);
    pcre2_code_free(code_);
  }
  Pcre(const Pcre&) = delete;
  Pcre& operator=(const Pcre&) = delete;

  bool finds(std::string_view text) const {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0, match_, nullptr) >= 0;
  }
  /// The text matches, or is the beginning of one that does.
  bool may_begin(std::string_view text) const {
    int workspace[4096];
    const int result = pcre2_dfa_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                                       PCRE2_PARTIAL_HARD, match_, nullptr, workspace, 4096);
    return result == PCRE2_ERROR_PARTIAL || finds(text);
  }

 private:
  pcre2_code* code_ = nullptr;
  pcre2_match_data* match_ = nullptr;
};

}  // namespace mica::test
