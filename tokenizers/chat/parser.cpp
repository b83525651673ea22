// The statements of a template: {% ... %}.

#include "mica/tokenizers/chat/parser.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/parse_expression.h"

namespace mica::jinja {
namespace {

constexpr int32_t kMaxNestedStatements = 100;

using Words = std::initializer_list<std::string_view>;

class Parser : private ExpressionParser {
 public:
  explicit Parser(std::string_view source) : ExpressionParser(tokenize(source)) {}

  Program run() {
    Program program;
    program.body = body({}, "");
    resolve_names(program);
    return program;
  }

 private:
  // Statements up to a block that starts with one of the words; that block's start is consumed, the word is not.
  Body body(Words end, const char* opened_by) {
    if (++nesting_ > kMaxNestedStatements) fail("statements nest too deep");
    Body statements;
    for (;;) {
      const Token& token = current();
      if (token.kind == TokenKind::data) {
        auto statement = start(StmtKind::text);
        statement->text = next().text;
        statements.push_back(std::move(statement));
      } else if (token.kind == TokenKind::variable_begin) {
        next();
        auto statement = start(StmtKind::output);
        statement->value = tuple();
        if (current().kind != TokenKind::variable_end) unexpected();
        next();
        statements.push_back(std::move(statement));
      } else if (token.kind == TokenKind::block_begin) {
        next();
        if (std::any_of(end.begin(), end.end(), [&](std::string_view word) { return is_name(word); })) break;
        if (auto parsed = statement(end)) statements.push_back(std::move(parsed));
        end_of_block();
      } else {
        if (end.size() > 0) fail(std::string("a block {% ") + opened_by + " %} is never closed");
        break;
      }
    }
    --nesting_;
    return statements;
  }

  void end_of_block() {
    if (current().kind != TokenKind::block_end) unexpected();
    next();
  }

  // The rest of an opening block, the body and the word that ends it.
  Body closed_body(std::string_view end, const char* opened_by) {
    end_of_block();
    Body result = body({end}, opened_by);
    next();
    return result;
  }

  // Inside these bodies a break has no loop to leave: they are run as functions.
  template <typename Parse>
  auto outside_loops(const Parse& parse) {
    const bool outer = std::exchange(in_loop_, false);
    auto result = parse();
    in_loop_ = outer;
    return result;
  }

  std::unique_ptr<Stmt> start(StmtKind kind) const {
    auto result = std::make_unique<Stmt>();
    result->kind = kind;
    result->line = current().line;
    return result;
  }

  std::unique_ptr<Stmt> statement(Words end) {
    if (current().kind != TokenKind::name) fail("the name of a statement should follow {%");
    const std::string& word = current().text;
    if (word == "if") return if_statement();
    if (word == "for") return for_statement();
    if (word == "set") return set_statement();
    if (word == "macro") return macro_statement();
    if (word == "call") return call_statement();
    if (word == "filter") return filter_statement();
    if (word == "with") return with_statement();
    if (word == "generation") return generation_statement();
    if (word == "print") return print_statement();
    if (word == "break" || word == "continue") {
      if (!in_loop_) fail("{% " + word + " %} stands outside a loop");
      auto result = start(word == "break" ? StmtKind::break_ : StmtKind::continue_);
      next();
      return result;
    }
    for (const char* other : {"include", "import", "from", "extends", "block", "autoescape"}) {
      if (word == other) fail("{% " + word + " %} is not supported in chat templates");
    }
    if (word.starts_with("end") || word == "else" || word == "elif") {
      std::string expected;
      for (const std::string_view possible : end) expected += (expected.empty() ? "" : " or ") + std::string(possible);
      fail("unexpected {% " + printable(word, 40) + " %}" +
           (expected.empty() ? "" : " where " + expected + " should be"));
    }
    fail("unknown statement \"" + printable(word, 40) + "\"");
  }

  std::unique_ptr<Stmt> print_statement() {
    auto result = start(StmtKind::output);
    next();
    result->value = tuple();
    return result;
  }

  std::unique_ptr<Stmt> if_statement() {
    auto result = start(StmtKind::if_);
    for (;;) {
      next();  // if, elif
      ExprPtr condition = tuple(false);
      end_of_block();
      result->branches.emplace_back(std::move(condition), body({"elif", "else", "endif"}, "if"));
      if (!is_name("elif")) break;
    }
    if (skip_name("else")) {
      end_of_block();
      result->other = body({"endif"}, "if");
    }
    next();
    return result;
  }

  static bool assigns_loop(const Expr& target) {
    const auto& parts = target.children;
    return target.text == "loop" ||
           std::any_of(parts.begin(), parts.end(), [](const ExprPtr& p) { return assigns_loop(*p); });
  }

  std::unique_ptr<Stmt> for_statement() {
    auto result = start(StmtKind::for_);
    next();
    result->target = target({"in"});
    if (assigns_loop(*result->target)) fail("a loop's variable can't be called \"loop\"");
    if (!skip_name("in")) fail("\"in\" should follow the variable of a loop");
    result->value = tuple(false, {"recursive"});
    if (skip_name("if")) result->condition = expression();
    result->recursive = skip_name("recursive");
    end_of_block();
    const bool outer = std::exchange(in_loop_, true);
    result->body = body({"endfor", "else"}, "for");
    in_loop_ = outer;
    if (skip_name("else")) {
      end_of_block();
      result->other = body({"endfor"}, "for");
    }
    next();
    return result;
  }

  std::unique_ptr<Stmt> set_statement() {
    auto result = start(StmtKind::set);
    next();
    result->target = target({}, true);
    if (skip_op("=")) {
      result->value = tuple();
      return result;
    }
    result->kind = StmtKind::set_block;
    result->value = filters(nullptr, false);
    result->body = outside_loops([&] { return closed_body("endset", "set"); });
    return result;
  }

  void parameters(Stmt& statement) {
    expect_op("(");
    while (!is_op(")")) {
      if (!statement.parameters.empty()) expect_op(",");
      Stmt::Parameter parameter;
      parameter.name = expect_name();
      for (const Stmt::Parameter& other : statement.parameters) {
        if (other.name == parameter.name) fail("two parameters are called \"" + printable(other.name, 40) + "\"");
      }
      if (skip_op("=")) {
        parameter.fallback = expression();
      } else if (!statement.parameters.empty() && statement.parameters.back().fallback) {
        fail("a parameter without a default follows one that has one");
      }
      statement.parameters.push_back(std::move(parameter));
    }
    expect_op(")");
  }

  std::unique_ptr<Stmt> macro_statement() {
    auto result = start(StmtKind::macro);
    next();
    result->text = expect_name();
    parameters(*result);
    result->body = outside_loops([&] { return closed_body("endmacro", "macro"); });
    return result;
  }

  std::unique_ptr<Stmt> call_statement() {
    auto result = start(StmtKind::call);
    next();
    if (is_op("(")) parameters(*result);
    result->value = expression();
    if (result->value->kind != ExprKind::call) fail("{% call %} needs a call");
    result->body = outside_loops([&] { return closed_body("endcall", "call"); });
    return result;
  }

  std::unique_ptr<Stmt> generation_statement() {
    auto result = start(StmtKind::generation);
    next();
    result->body = outside_loops([&] { return closed_body("endgeneration", "generation"); });
    return result;
  }

  std::unique_ptr<Stmt> filter_statement() {
    auto result = start(StmtKind::filter);
    next();
    result->value = filters(nullptr, true);
    result->body = outside_loops([&] { return closed_body("endfilter", "filter"); });
    return result;
  }

  std::unique_ptr<Stmt> with_statement() {
    auto result = start(StmtKind::with);
    next();
    while (current().kind != TokenKind::block_end) {
      if (!result->assignments.empty()) expect_op(",");
      ExprPtr name = target();
      expect_op("=");
      result->assignments.emplace_back(std::move(name), expression());
    }
    result->body = closed_body("endwith", "with");
    return result;
  }

  int32_t nesting_ = 0;
  bool in_loop_ = false;
};

}  // namespace

Program parse(std::string_view source) {
  return Parser(source).run();
}

}  // namespace mica::jinja
