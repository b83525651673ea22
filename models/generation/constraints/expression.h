#pragma once
// What regular expressions, grammars and schemas are read into: rules whose bodies are expressions over bytes,
// characters and other rules.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mica/models/generation/constraints/code_points.h"

namespace mica::constraint_detail {

/// A deterministic automaton over bytes; state 0 is the start.
struct ByteDfa {
  struct Edge {
    uint8_t first = 0, last = 0;
    uint32_t to = 0;
  };
  struct State {
    std::vector<Edge> edges;  // by byte, apart from each other
    bool accepting = false;
  };
  std::vector<State> states;

  bool accepts(std::string_view text) const;
};

struct Expression;
using ExpressionPtr = std::shared_ptr<const Expression>;

/// Immutable; parts may be shared.
struct Expression {
  enum class Kind {
    text,       ///< these bytes
    set,        ///< one character of the set
    sequence,   ///< all parts, in order
    choice,     ///< one of the parts; without parts, nothing
    repeat,     ///< parts[0], min to max times
    rule,       ///< what the rule with this number is
    list,       ///< parts in order, those not required may be left out, with parts.back() between two of them
    automaton,  ///< what the automaton accepts
  };
  Kind kind = Kind::sequence;
  std::string text = {};
  CodePointSet set = {};
  std::vector<ExpressionPtr> parts = {};
  int64_t min = 0, max = 0;  // max -1: without end
  size_t rule = 0;
  std::vector<bool> required = {};  // of a list's items
  bool repeats_last = false;        // a list's last item may come any number of times
  std::shared_ptr<const ByteDfa> automaton = {};
};

ExpressionPtr text(std::string bytes);
ExpressionPtr one_of(CodePointSet set);
ExpressionPtr sequence(std::vector<ExpressionPtr> parts);
ExpressionPtr choice(std::vector<ExpressionPtr> parts);
ExpressionPtr repeat(ExpressionPtr part, int64_t min, int64_t max);
ExpressionPtr optional(ExpressionPtr part);
ExpressionPtr call(size_t rule);
ExpressionPtr automaton(std::shared_ptr<const ByteDfa> dfa);

struct Rule {
  std::string name;  // for errors
  ExpressionPtr body;
};

/// Rule 0 is the whole text.
using Rules = std::vector<Rule>;

}  // namespace mica::constraint_detail
