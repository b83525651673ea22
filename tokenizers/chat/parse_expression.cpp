#include "mica/tokenizers/chat/parse_expression.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/characters.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {
namespace {

bool is_identifier(const std::string& name) {
  return !name.empty() && (name[0] < '0' || name[0] > '9');
}

std::string shown(const Token& token) {
  switch (token.kind) {
    case TokenKind::end:
      return "the end of the template";
    case TokenKind::variable_end:
      return "\"}}\"";
    case TokenKind::block_end:
      return "\"%}\"";
    default:
      return "\"" + printable(token.text, 40) + "\"";
  }
}

Value text_constant(std::string bytes) {
  auto text = std::make_shared<Text>();
  text->length = static_cast<int64_t>(utf8::count(bytes));
  text->bytes = std::move(bytes);
  return {Kind::string, std::move(text)};
}

}  // namespace

class ExpressionParser::Nesting {
 public:
  explicit Nesting(ExpressionParser& parser) : parser_(parser) {
    if (++parser_.nesting_ > kMaxTreeDepth / 3) parser_.fail("expressions nest too deep");
  }
  ~Nesting() { --parser_.nesting_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  ExpressionParser& parser_;
};

const Token& ExpressionParser::next() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool ExpressionParser::skip_op(std::string_view text) {
  if (!is_op(text)) return false;
  next();
  return true;
}

bool ExpressionParser::skip_name(std::string_view text) {
  if (!is_name(text)) return false;
  next();
  return true;
}

void ExpressionParser::expect_op(std::string_view text) {
  if (!skip_op(text)) fail("\"" + std::string(text) + "\" should stand where " + shown(current()) + " is");
}

std::string ExpressionParser::expect_name() {
  if (current().kind != TokenKind::name || !is_identifier(current().text)) {
    fail("a name should stand where " + shown(current()) + " is");
  }
  return next().text;
}

void ExpressionParser::fail(const std::string& problem) const {
  throw SyntaxError{problem, current().line};
}

void ExpressionParser::unexpected() const {
  fail("unexpected " + shown(current()));
}

ExprPtr ExpressionParser::make(ExprKind kind, int32_t line) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

ExprPtr ExpressionParser::close(ExprPtr node) const {
  int32_t depth = 0;
  const auto look_at = [&](const ExprPtr& child) {
    if (child) depth = std::max(depth, child->depth);
  };
  for (const ExprPtr& child : node->children) look_at(child);
  for (const ExprPtr& child : node->positional) look_at(child);
  for (const auto& [name, child] : node->named) look_at(child);
  look_at(node->star);
  look_at(node->star_star);
  node->depth = depth + 1;
  if (node->depth > kMaxTreeDepth) fail("an expression is too long or nests too deep");
  return node;
}

ExprPtr ExpressionParser::binary(ExprPtr left, Operator op, ExprPtr right) {
  ExprPtr node = make(ExprKind::binary, left->line);
  node->op = op;
  node->children.push_back(std::move(left));
  node->children.push_back(std::move(right));
  return close(std::move(node));
}

ExprPtr ExpressionParser::expression(bool with_condition) {
  const Nesting nesting(*this);
  return with_condition ? condition() : logical_or();
}

ExprPtr ExpressionParser::condition() {
  ExprPtr then = logical_or();
  while (is_name("if")) {
    ExprPtr node = make(ExprKind::conditional, next().line);
    node->children.push_back(logical_or());
    node->children.push_back(std::move(then));
    if (skip_name("else")) {
      const Nesting nesting(*this);
      node->children.push_back(condition());
    } else {
      node->children.push_back(nullptr);
    }
    then = close(std::move(node));
  }
  return then;
}

ExprPtr ExpressionParser::logical_or() {
  ExprPtr left = logical_and();
  while (is_name("or")) {
    ExprPtr node = make(ExprKind::logical_or, next().line);
    node->children.push_back(std::move(left));
    node->children.push_back(logical_and());
    left = close(std::move(node));
  }
  return left;
}

ExprPtr ExpressionParser::logical_and() {
  ExprPtr left = logical_not();
  while (is_name("and")) {
    ExprPtr node = make(ExprKind::logical_and, next().line);
    node->children.push_back(std::move(left));
    node->children.push_back(logical_not());
    left = close(std::move(node));
  }
  return left;
}

ExprPtr ExpressionParser::logical_not() {
  if (!is_name("not")) return compare();
  const Nesting nesting(*this);
  ExprPtr node = make(ExprKind::logical_not, next().line);
  node->children.push_back(logical_not());
  return close(std::move(node));
}

ExprPtr ExpressionParser::compare() {
  static const std::pair<std::string_view, Operator> signs[] = {
      {"==", Operator::equal},      {"!=", Operator::not_equal}, {"<", Operator::less},
      {"<=", Operator::less_equal}, {">", Operator::greater},    {">=", Operator::greater_equal}};
  ExprPtr left = sum();
  ExprPtr node;
  const auto add = [&](Operator op) {
    if (!node) {
      node = make(ExprKind::compare, left->line);
      node->children.push_back(std::move(left));
    }
    node->operators.push_back(op);
    node->children.push_back(sum());
  };
  for (;;) {
    const auto* sign = std::find_if(std::begin(signs), std::end(signs), [&](const auto& s) { return is_op(s.first); });
    if (sign != std::end(signs)) {
      next();
      add(sign->second);
    } else if (skip_name("in")) {
      add(Operator::in);
    } else if (is_name("not") && is_name(look(), "in")) {
      next();
      next();
      add(Operator::not_in);
    } else {
      return node ? close(std::move(node)) : std::move(left);
    }
  }
}

ExprPtr ExpressionParser::sum() {
  ExprPtr left = concat();
  for (;;) {
    if (skip_op("+")) {
      left = binary(std::move(left), Operator::add, concat());
    } else if (skip_op("-")) {
      left = binary(std::move(left), Operator::subtract, concat());
    } else {
      return left;
    }
  }
}

ExprPtr ExpressionParser::concat() {
  ExprPtr first = product();
  if (!is_op("~")) return first;
  ExprPtr node = make(ExprKind::concat, first->line);
  node->children.push_back(std::move(first));
  while (skip_op("~")) node->children.push_back(product());
  return close(std::move(node));
}

ExprPtr ExpressionParser::product() {
  ExprPtr left = power();
  for (;;) {
    if (skip_op("*")) {
      left = binary(std::move(left), Operator::multiply, power());
    } else if (skip_op("/")) {
      left = binary(std::move(left), Operator::divide, power());
    } else if (skip_op("//")) {
      left = binary(std::move(left), Operator::floor_divide, power());
    } else if (skip_op("%")) {
      left = binary(std::move(left), Operator::modulo, power());
    } else {
      return left;
    }
  }
}

ExprPtr ExpressionParser::power() {
  ExprPtr left = unary();
  while (skip_op("**")) left = binary(std::move(left), Operator::power, unary());
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filters) {
  const Nesting nesting(*this);
  ExprPtr node;
  if (is_op("-") || is_op("+")) {
    const Token& sign = next();
    node = make(sign.text == "-" ? ExprKind::negative : ExprKind::positive, sign.line);
    node->children.push_back(unary(false));
    node = close(std::move(node));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? tests_and_filters(std::move(node)) : std::move(node);
}

ExprPtr ExpressionParser::primary() {
  const Token& token = current();
  ExprPtr node = make(ExprKind::constant, token.line);
  switch (token.kind) {
    case TokenKind::name: {
      const std::string& name = token.text;
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        node->constant = Value::boolean(name[0] == 't' || name[0] == 'T');
      } else if (name == "none" || name == "None") {
        node->constant = Value::none();
      } else {
        node->kind = ExprKind::name;
        node->text = expect_name();
        return node;
      }
      next();
      return node;
    }
    case TokenKind::string: {
      // Strings side by side are one.
      std::string text;
      while (current().kind == TokenKind::string) text += next().text;
      node->constant = text_constant(std::move(text));
      return node;
    }
    case TokenKind::integer:
      node->constant = Value::integer(next().integer);
      return node;
    case TokenKind::real:
      node->constant = Value::real(next().real);
      return node;
    case TokenKind::op:
      if (token.text == "(") {
        next();
        node = tuple(true, {}, true);
        expect_op(")");
        return node;
      }
      if (token.text == "[") return list();
      if (token.text == "{") return dict();
      [[fallthrough]];
    default:
      unexpected();
  }
}

ExprPtr ExpressionParser::list() {
  ExprPtr node = make(ExprKind::list, next().line);
  while (!is_op("]")) {
    if (!node->children.empty()) expect_op(",");
    if (is_op("]")) break;
    node->children.push_back(expression());
  }
  expect_op("]");
  return close(std::move(node));
}

ExprPtr ExpressionParser::dict() {
  ExprPtr node = make(ExprKind::dict, next().line);
  while (!is_op("}")) {
    if (!node->children.empty()) expect_op(",");
    if (is_op("}")) break;
    node->children.push_back(expression());
    expect_op(":");
    node->children.push_back(expression());
  }
  expect_op("}");
  return close(std::move(node));
}

ExprPtr ExpressionParser::tuple(bool with_condition, std::initializer_list<std::string_view> stop, bool parentheses) {
  const int32_t line = current().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  const auto ended = [&] {
    const TokenKind kind = current().kind;
    if (kind == TokenKind::variable_end || kind == TokenKind::block_end || is_op(")")) return true;
    return std::any_of(stop.begin(), stop.end(), [&](std::string_view word) { return is_name(word); });
  };
  for (;;) {
    if (!items.empty()) expect_op(",");
    if (ended()) break;
    items.push_back(expression(with_condition));
    if (!is_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) return std::move(items[0]);
    if (!parentheses) fail("an expression should stand where " + shown(current()) + " is");
  }
  ExprPtr node = make(ExprKind::tuple, line);
  node->children = std::move(items);
  return close(std::move(node));
}

ExprPtr ExpressionParser::plain_target(bool with_names) {
  const int32_t line = current().line;
  if (skip_op("(")) {
    ExprPtr inner = target({}, with_names);
    expect_op(")");
    return inner;
  }
  const std::string name = expect_name();
  for (const char* word : {"true", "True", "false", "False", "none", "None"}) {
    if (name == word) fail("can't assign to " + name);
  }
  ExprPtr node = make(ExprKind::name, line);
  if (with_names && skip_op(".")) {
    node->kind = ExprKind::names_entry;
    node->children.push_back(make(ExprKind::name, line));
    node->children[0]->text = name;
    node->text = expect_name();
  } else {
    node->text = name;
  }
  return node;
}

ExprPtr ExpressionParser::target(std::initializer_list<std::string_view> stop, bool with_names) {
  const Nesting nesting(*this);
  const int32_t line = current().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  for (;;) {
    const auto ended = [&] {
      if (current().kind == TokenKind::block_end || is_op(")") || is_op("=")) return true;
      return std::any_of(stop.begin(), stop.end(), [&](std::string_view word) { return is_name(word); });
    };
    if (!items.empty() && ended()) break;
    items.push_back(plain_target(with_names));
    if (!skip_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) return std::move(items[0]);
  ExprPtr node = make(ExprKind::tuple, line);
  node->children = std::move(items);
  return close(std::move(node));
}

ExprPtr ExpressionParser::postfix(ExprPtr node) {
  for (;;) {
    if (is_op(".") || is_op("[")) {
      node = subscript(std::move(node));
    } else if (is_op("(")) {
      ExprPtr call = make(ExprKind::call, current().line);
      call->children.push_back(std::move(node));
      arguments(*call);
      node = close(std::move(call));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::tests_and_filters(ExprPtr node) {
  for (;;) {
    if (is_op("|")) {
      node = filters(std::move(node), false);
    } else if (is_name("is")) {
      node = test(std::move(node));
    } else if (is_op("(")) {
      ExprPtr call = make(ExprKind::call, current().line);
      call->children.push_back(std::move(node));
      arguments(*call);
      node = close(std::move(call));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr node) {
  const Token& sign = next();
  if (sign.text == ".") {
    const Token& name = next();
    ExprPtr result = make(name.kind == TokenKind::name ? ExprKind::attribute : ExprKind::item, sign.line);
    result->children.push_back(std::move(node));
    if (name.kind == TokenKind::name) {
      result->text = name.text;
    } else if (name.kind == TokenKind::integer) {
      result->children.push_back(make(ExprKind::constant, sign.line));
      result->children[1]->constant = Value::integer(name.integer);
    } else {
      fail("a name or number should follow the point");
    }
    return close(std::move(result));
  }
  std::vector<ExprPtr> items;
  while (!is_op("]")) {
    if (!items.empty()) expect_op(",");
    items.push_back(subscribed());
  }
  expect_op("]");
  ExprPtr result = make(ExprKind::item, sign.line);
  result->children.push_back(std::move(node));
  if (items.size() == 1) {
    result->children.push_back(std::move(items[0]));
  } else {
    ExprPtr key = make(ExprKind::tuple, sign.line);
    key->children = std::move(items);
    result->children.push_back(close(std::move(key)));
  }
  return close(std::move(result));
}

ExprPtr ExpressionParser::subscribed() {
  const int32_t line = current().line;
  ExprPtr start;
  if (!is_op(":")) {
    start = expression();
    if (!is_op(":")) return start;
  }
  expect_op(":");
  ExprPtr node = make(ExprKind::slice, line);
  node->children.push_back(std::move(start));
  node->children.push_back(is_op(":") || is_op("]") || is_op(",") ? nullptr : expression());
  node->children.push_back(skip_op(":") && !is_op("]") && !is_op(",") ? expression() : nullptr);
  return close(std::move(node));
}

void ExpressionParser::arguments(Expr& node) {
  expect_op("(");
  bool first = true;
  while (!is_op(")")) {
    if (!first) {
      expect_op(",");
      if (is_op(")")) break;
    }
    first = false;
    const auto order = [&](bool fits) {
      if (!fits) fail("arguments are in the wrong order");
    };
    if (skip_op("*")) {
      order(!node.star && !node.star_star);
      node.star = expression();
    } else if (skip_op("**")) {
      order(!node.star_star);
      node.star_star = expression();
    } else if (current().kind == TokenKind::name && is_op(look(), "=")) {
      order(!node.star_star);
      std::string name = expect_name();
      next();
      for (const auto& [other, value] : node.named) {
        if (other == name) fail("argument \"" + printable(name, 40) + "\" is given twice");
      }
      node.named.emplace_back(std::move(name), expression());
    } else {
      order(!node.star && !node.star_star && node.named.empty());
      node.positional.push_back(expression());
    }
  }
  expect_op(")");
}

ExprPtr ExpressionParser::filters(ExprPtr node, bool inside) {
  while (inside || is_op("|")) {
    if (!inside) next();
    ExprPtr result = make(ExprKind::filter, current().line);
    result->text = expect_name();
    while (skip_op(".")) result->text += "." + expect_name();
    result->children.push_back(std::move(node));
    if (is_op("(")) arguments(*result);
    node = close(std::move(result));
    inside = false;
  }
  return node;
}

ExprPtr ExpressionParser::test(ExprPtr node) {
  const int32_t line = next().line;
  const bool negated = skip_name("not");
  ExprPtr result = make(ExprKind::test, line);
  result->text = expect_name();
  while (skip_op(".")) result->text += "." + expect_name();
  result->children.push_back(std::move(node));
  const TokenKind kind = current().kind;
  if (is_op("(")) {
    arguments(*result);
  } else if (((kind == TokenKind::name && !is_name("else") && !is_name("or") && !is_name("and")) ||
              kind == TokenKind::string || kind == TokenKind::integer || kind == TokenKind::real || is_op("[") ||
              is_op("{"))) {
    if (is_name("is")) fail("tests can't be chained with \"is\"");
    result->positional.push_back(postfix(primary()));
  }
  result = close(std::move(result));
  if (!negated) return result;
  ExprPtr opposite = make(ExprKind::logical_not, line);
  opposite->children.push_back(std::move(result));
  return close(std::move(opposite));
}

}  // namespace mica::jinja
