#include "mica/models/generation/constraints/expression.h"

#include <utility>

namespace mica::constraint_detail {

bool ByteDfa::accepts(std::string_view text) const {
  size_t state = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    bool found = false;
    for (const Edge& edge : states[state].edges) {
      if (byte < edge.first || byte > edge.last) continue;
      state = edge.to;
      found = true;
      break;
    }
    if (!found) return false;
  }
  return states[state].accepting;
}

ExpressionPtr text(std::string bytes) {
  return std::make_shared<Expression>(Expression{.kind = Expression::Kind::text, .text = std::move(bytes)});
}
ExpressionPtr one_of(CodePointSet set) {
  return std::make_shared<Expression>(Expression{.kind = Expression::Kind::set, .set = std::move(set)});
}
ExpressionPtr sequence(std::vector<ExpressionPtr> parts) {
  if (parts.size() == 1) return parts[0];
  return std::make_shared<Expression>(Expression{.kind = Expression::Kind::sequence, .parts = std::move(parts)});
}
ExpressionPtr choice(std::vector<ExpressionPtr> parts) {
  if (parts.size() == 1) return parts[0];
  return std::make_shared<Expression>(Expression{.kind = Expression::Kind::choice, .parts = std::move(parts)});
}
ExpressionPtr repeat(ExpressionPtr part, int64_t min, int64_t max) {
  return std::make_shared<Expression>(
      Expression{.kind = Expression::Kind::repeat, .parts = {std::move(part)}, .min = min, .max = max});
}
ExpressionPtr optional(ExpressionPtr part) {
  return repeat(std::move(part), 0, 1);
}
ExpressionPtr call(size_t rule) {
  return std::make_shared<Expression>(Expression{.kind = Expression::Kind::rule, .rule = rule});
}
ExpressionPtr automaton(std::shared_ptr<const ByteDfa> dfa) {
  return std::make_shared<Expression>(Expression{.kind = Expression::Kind::automaton, .automaton = std::move(dfa)});
}

}  // namespace mica::constraint_detail
