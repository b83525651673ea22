// Expressions.

#include "mica/base/error.h"
#include "mica/tokenizers/chat/interpreter.h"
#include "mica/tokenizers/chat/operators.h"
#include "mica/tokenizers/chat/text_of.h"

namespace mica::jinja {

Value Interpreter::eval(const Expr& node, Frame& frame) {
  check_stack();
  switch (node.kind) {
    case ExprKind::constant:
      return node.constant;
    case ExprKind::name:
      return eval_name(node, frame);
    case ExprKind::list:
      return list(eval_all(node.children, frame));
    case ExprKind::tuple:
      return tuple(eval_all(node.children, frame));
    case ExprKind::dict: {
      std::vector<std::pair<Value, Value>> entries;
      for (size_t i = 0; i < node.children.size(); i += 2) {
        Value key = eval(*node.children[i], frame);
        entries.emplace_back(std::move(key), eval(*node.children[i + 1], frame));
      }
      return dict(std::move(entries));
    }
    case ExprKind::attribute: {
      const Value value = eval(*node.children[0], frame);
      set_line(node.line);
      return attribute(*this, value, node.text);
    }
    case ExprKind::item:
      return eval_item(node, frame);
    case ExprKind::slice:
      fail("slices can't be elements of a subscript");
    case ExprKind::call:
      return eval_call(node, frame, nullptr);
    case ExprKind::filter:
      return eval_filter(node, frame, nullptr);
    case ExprKind::test: {
      const Value value = eval(*node.children[0], frame);
      Args args = arguments(node, frame);
      set_line(node.line);
      return Value::boolean(test(node.text, value, args));
    }
    case ExprKind::binary: {
      const Value left = eval(*node.children[0], frame);
      const Value right = eval(*node.children[1], frame);
      set_line(node.line);
      return arithmetic(*this, node.op, left, right);
    }
    case ExprKind::compare:
      return eval_compare(node, frame);
    case ExprKind::concat:
      return concat(*this, eval_all(node.children, frame));
    case ExprKind::logical_and: {
      Value left = eval(*node.children[0], frame);
      return truthy(left) ? eval(*node.children[1], frame) : left;
    }
    case ExprKind::logical_or: {
      Value left = eval(*node.children[0], frame);
      return truthy(left) ? left : eval(*node.children[1], frame);
    }
    case ExprKind::logical_not:
      return Value::boolean(!truthy(eval(*node.children[0], frame)));
    case ExprKind::negative:
      return negative(*this, eval(*node.children[0], frame));
    case ExprKind::positive: {
      const Value value = eval(*node.children[0], frame);
      check_defined(value);
      if (!value.is_number()) fail(std::string("a value of type ") + type_name(value) + " has no sign");
      return value.is(Kind::boolean) ? Value::integer(value.as_integer()) : value;
    }
    case ExprKind::conditional:
      if (truthy(eval(*node.children[0], frame))) return eval(*node.children[1], frame);
      if (node.children[2]) return eval(*node.children[2], frame);
      return Value::undefined("an if-expression without else was false");
    case ExprKind::names_entry:
      break;
  }
  fail("a target is no expression");
}

Value Interpreter::eval_name(const Expr& node, Frame& frame) {
  const Value& value = at(node.slot, frame);
  return value.is(Kind::missing) ? Value::undefined("'" + printable(node.text, 60) + "' is undefined") : value;
}

Value Interpreter::eval_or_none(const ExprPtr& node, Frame& frame) {
  return node ? eval(*node, frame) : Value::none();
}

std::vector<Value> Interpreter::eval_all(const std::vector<ExprPtr>& nodes, Frame& frame) {
  std::vector<Value> values;
  values.reserve(nodes.size());
  for (const ExprPtr& node : nodes) values.push_back(eval(*node, frame));
  return values;
}

Value Interpreter::eval_item(const Expr& node, Frame& frame) {
  const Value value = eval(*node.children[0], frame);
  const Expr& key = *node.children[1];
  if (key.kind == ExprKind::slice) {
    const Value start = eval_or_none(key.children[0], frame);
    const Value stop = eval_or_none(key.children[1], frame);
    const Value step = eval_or_none(key.children[2], frame);
    set_line(node.line);
    return slice(*this, value, start, stop, step);
  }
  const Value index = eval(key, frame);
  set_line(node.line);
  return item(*this, value, index);
}

Value Interpreter::eval_compare(const Expr& node, Frame& frame) {
  Value left = eval(*node.children[0], frame);
  for (size_t i = 0; i < node.operators.size(); ++i) {
    Value right = eval(*node.children[i + 1], frame);
    set_line(node.line);
    if (!compare(*this, node.operators[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Args Interpreter::arguments(const Expr& node, Frame& frame) {
  Args args;
  args.positional = eval_all(node.positional, frame);
  for (const auto& [name, value] : node.named) args.named.emplace_back(name, eval(*value, frame));
  if (node.star) {
    for (Value& value : iterate(eval(*node.star, frame))) args.positional.push_back(std::move(value));
  }
  if (node.star_star) {
    const Value more = eval(*node.star_star, frame);
    if (!more.is(Kind::dict)) fail("** wants a dict");
    for (const auto& [key, value] : more.dict().entries) {
      if (!key.is(Kind::string)) fail("** wants a dict with strings as keys");
      for (const auto& [name, other] : args.named) {
        if (name == key.as_text()) fail("argument \"" + printable(name, 60) + "\" is given twice");
      }
      args.named.emplace_back(key.as_text(), value);
    }
  }
  return args;
}

Value Interpreter::eval_call(const Expr& node, Frame& frame, const Value* caller) {
  const Value callee = eval(*node.children[0], frame);
  Args args = arguments(node, frame);
  if (caller != nullptr) args.named.emplace_back("caller", *caller);
  set_line(node.line);
  return call(callee, args);
}

Value Interpreter::eval_filter(const Expr& node, Frame& frame, const Value* input) {
  check_stack();
  Value value;
  if (!node.children[0]) {
    value = *input;
  } else if (node.children[0]->kind == ExprKind::filter) {
    value = eval_filter(*node.children[0], frame, input);
  } else {
    value = eval(*node.children[0], frame);
  }
  Args args = arguments(node, frame);
  set_line(node.line);
  return filter(node.text, value, args);
}

}  // namespace mica::jinja
