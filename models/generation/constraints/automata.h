#pragma once
// Rules as deterministic automata over bytes that may call each other: what masks are computed from.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "mica/models/generation/constraints/expression.h"

namespace mica::constraint_detail {

struct Automata {
  static constexpr uint32_t kNone = 0xffffffff;
  struct Call {
    uint32_t rule = 0;  // in `rules`
    uint32_t to = 0;    // node that goes on once the rule has ended
  };
  struct Rule {
    std::string name;
    uint32_t start = 0;
    bool nullable = false;
  };

  // Bytes that no rule tells apart are one class; classes are intervals, in order.
  std::array<uint8_t, 256> class_of{};
  std::vector<uint8_t> byte_of;  // one of each class
  std::vector<uint32_t> table;   // [node, class]: the next node, or kNone
  std::vector<Call> calls;
  std::vector<uint32_t> call_begin;  // node's calls are call_begin[node] .. call_begin[node + 1]
  std::vector<uint8_t> accepting;    // node: the rule may end here
  std::vector<uint8_t> last;         // node: the rule ends here, there is no way on
  std::vector<uint32_t> rule_of;     // node
  std::vector<Rule> rules;           // those that are called; 0 is the whole text
  bool root_is_called = false;

  size_t classes() const { return byte_of.size(); }
  size_t nodes() const { return accepting.size(); }
  /// Whether it matters that the node's rule may end there: below the whole text's rule, unless it is called, lies
  /// nothing.
  bool ends_matter(uint32_t node) const { return rule_of[node] != 0 || root_is_called; }
  uint32_t next(uint32_t node, size_t byte_class) const { return table[node * classes() + byte_class]; }
};

/// Every node of the result lies on a way to an end. Throws Error when no text fits the rules, when a rule begins with
/// itself, or when the automata would have more than max_states nodes.
Automata build_automata(const Rules& rules, int64_t max_states);

/// The same for an expression without calls. An expression that nothing fits gives an automaton that accepts nothing.
ByteDfa build_dfa(const ExpressionPtr& expression, int64_t max_states);

/// What both accept, and what `a` accepts but `b` does not.
ByteDfa intersection(const ByteDfa& a, const ByteDfa& b, int64_t max_states);
ByteDfa difference(const ByteDfa& a, const ByteDfa& b, int64_t max_states);

}  // namespace mica::constraint_detail
