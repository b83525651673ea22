#pragma once
// The variable `loop`, macros, and what else of the interpreter has attributes.

#include <deque>
#include <string>
#include <vector>

#include "mica/tokenizers/chat/runtime.h"
#include "mica/tokenizers/chat/syntax.h"

namespace mica::jinja {

/// The variables of one body, while it runs.
struct Frame {
  Frame* parent = nullptr;
  std::vector<Value> slots;
};

/// What a loop goes through: elements one at a time, those only that pass its condition.
struct LoopSource {
  std::vector<Value> values;
  size_t next = 0;
  std::shared_ptr<Iterator> iterator;  // an iterator's elements are taken from it, so that a break leaves the rest
  std::function<bool(const Value&)> passes;

  std::optional<Value> pull();
};

struct Loop : Object {
  LoopSource source;
  std::optional<int64_t> length;
  std::optional<Value> ahead, current, before;
  std::vector<Value> last_changed;
  bool has_changed = false;
  int64_t index0 = -1, depth0 = 0;
  const Stmt* statement = nullptr;
  Frame* outer = nullptr;

  /// Moves on; false at the end.
  bool advance();
  bool peek();
  int64_t count();
};

struct Macro : Object {
  const Stmt* statement = nullptr;
  Frame* outer = nullptr;
  std::string name;
};

Value loop_attribute(Runtime& runtime, const Value& loop, const std::string& name);
Value cycler_attribute(Runtime& runtime, const Value& cycler, const std::string& name);
Value macro_attribute(Runtime& runtime, const Value& macro, const std::string& name);

}  // namespace mica::jinja
