#pragma once
// The tree of a parsed template.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mica/tokenizers/chat/value.h"

namespace mica::jinja {

/// Where a variable lives: in the frame so many levels up, in that slot.
struct Slot {
  int32_t up = 0, index = 0;
};

/// What the slots of a frame hold when it is entered.
struct Layout {
  enum class Start : uint8_t { nothing, from_context, from_outer };
  struct Entry {
    std::string name;
    Start start = Start::nothing;
    Slot outer;  // from_outer: as seen from the enclosing frame
  };
  std::vector<Entry> slots;
  bool captured = false;  // a macro or call block inside may outlive the frame
};

enum class ExprKind : uint8_t {
  constant,
  name,
  list,
  tuple,
  dict,       // children: key, value, key, value, ...
  attribute,  // children[0].text
  item,       // children[0][children[1]]
  slice,      // children: start, stop, step; null where left out
  call,       // children[0](arguments)
  filter,     // children[0] | text(arguments); no child in a filter block
  test,       // children[0] is text(arguments)
  binary,     // text is the operator
  compare,    // children[0] operators[0] children[1] operators[1] ...
  concat,     // children[0] ~ children[1] ~ ...
  logical_and,
  logical_or,
  logical_not,
  negative,
  positive,
  conditional,  // children: condition, then, else (or null)
  names_entry,  // ns.text as a target: slot is ns
};

enum class Operator : uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in,
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind = ExprKind::constant;
  Operator op = Operator::add;
  int32_t line = 0;
  int32_t depth = 1;
  Slot slot;
  std::string text;
  Value constant;
  std::vector<ExprPtr> children;
  // Arguments of calls, filters and tests.
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, star_star;
  std::vector<Operator> operators;
};

enum class StmtKind : uint8_t {
  text,
  output,
  if_,        // branches: condition and body; other
  for_,       // target in value if condition: body; other
  set,        // target = value
  set_block,  // target, value is a filter or null: body
  macro,
  call,    // value is the call
  filter,  // value is the filter
  with,    // targets = values: body
  generation,
  break_,
  continue_,
};

struct Stmt;
using Body = std::vector<std::unique_ptr<Stmt>>;

struct Stmt {
  StmtKind kind = StmtKind::text;
  int32_t line = 0;
  int32_t depth = 1;
  std::string text;  // of text; the name of a macro
  ExprPtr target, value, condition, condition_target;
  Body body, other;
  std::vector<std::pair<ExprPtr, Body>> branches;
  std::vector<std::pair<ExprPtr, ExprPtr>> assignments;  // of with
  bool recursive = false;
  bool extended = false;  // the loop's body knows the variable loop
  Slot slot;              // of the macro's name
  Slot loop_slot, caller_slot, varargs_slot, kwargs_slot;
  bool has_caller = false, has_varargs = false, has_kwargs = false;
  // Parameters of macro and call.
  struct Parameter {
    std::string name;
    ExprPtr fallback;
    Slot slot;
  };
  std::vector<Parameter> parameters;
  Layout layout, test_layout, else_layout;
};

struct Program {
  Body body;
  Layout layout;
};

}  // namespace mica::jinja
