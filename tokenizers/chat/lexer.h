#pragma once
// A template's text as tokens, with the white space control that transformers sets: trim_blocks and lstrip_blocks on,
// the newline at the very end dropped.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mica::jinja {

enum class TokenKind : uint8_t {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  op,  // text is the operator
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  int32_t line = 0;
  std::string text;
  int64_t integer = 0;
  double real = 0;
};

/// What is wrong with a template's text.
struct SyntaxError {
  std::string problem;
  int32_t line;
};

/// `source` is valid UTF-8. The last token is `end`. Throws SyntaxError.
std::vector<Token> tokenize(std::string_view source);

}  // namespace mica::jinja
