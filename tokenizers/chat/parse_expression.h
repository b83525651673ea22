#pragma once
// Tokens, and the expressions in them: Jinja's grammar from `a if b else c` down to literals.

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "mica/tokenizers/chat/lexer.h"
#include "mica/tokenizers/chat/syntax.h"

namespace mica::jinja {

/// Trees nest at most this deep, so that walking one is safe.
inline constexpr int32_t kMaxTreeDepth = 300;

class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

 protected:
  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next();
  bool is_op(std::string_view text) const { return is_op(current(), text); }
  bool is_name(std::string_view text) const { return is_name(current(), text); }
  static bool is_op(const Token& token, std::string_view text) {
    return token.kind == TokenKind::op && token.text == text;
  }
  static bool is_name(const Token& token, std::string_view text) {
    return token.kind == TokenKind::name && token.text == text;
  }
  bool skip_op(std::string_view text);
  bool skip_name(std::string_view text);
  void expect_op(std::string_view text);
  std::string expect_name();
  [[noreturn]] void fail(const std::string& problem) const;
  [[noreturn]] void unexpected() const;

  ExprPtr expression(bool with_condition = true);
  /// `stop` names the words that end the tuple too.
  ExprPtr tuple(bool with_condition = true, std::initializer_list<std::string_view> stop = {},
                bool parentheses = false);
  /// What can be assigned to.
  ExprPtr target(std::initializer_list<std::string_view> stop = {}, bool with_names = false);
  ExprPtr filters(ExprPtr node, bool inside);
  ExprPtr make(ExprKind kind, int32_t line) const;
  /// Sets the node's depth from its children's.
  ExprPtr close(ExprPtr node) const;

 private:
  class Nesting;
  ExprPtr condition();
  ExprPtr logical_or();
  ExprPtr logical_and();
  ExprPtr logical_not();
  ExprPtr compare();
  ExprPtr sum();
  ExprPtr concat();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filters = true);
  ExprPtr primary();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr node);
  ExprPtr subscript(ExprPtr node);
  ExprPtr subscribed();
  ExprPtr tests_and_filters(ExprPtr node);
  ExprPtr test(ExprPtr node);
  ExprPtr binary(ExprPtr left, Operator op, ExprPtr right);
  ExprPtr plain_target(bool with_names);
  void arguments(Expr& node);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int32_t nesting_ = 0;
};

}  // namespace mica::jinja
