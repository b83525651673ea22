#pragma once
// Rules as one nondeterministic automaton: edges over bytes, over other rules, and over nothing.

#include <cstdint>
#include <vector>

#include "mica/models/generation/constraints/expression.h"

namespace mica::constraint_detail {

class Nfa {
 public:
  enum class Kind : uint8_t { bytes, empty, rule };
  struct Edge {
    Kind kind;
    uint8_t first, last;  // bytes
    uint32_t rule;
    uint32_t to;
    uint32_t next;  // edge of the same node, kNone at the end
  };
  static constexpr uint32_t kNone = 0xffffffff;

  explicit Nfa(int64_t max_nodes) : max_nodes_(max_nodes) {}
  /// Throws Error beyond max_nodes.
  uint32_t add_node();
  void add_bytes(uint32_t from, uint8_t first, uint8_t last, uint32_t to);
  void add_empty(uint32_t from, uint32_t to);
  void add_rule(uint32_t from, uint32_t rule, uint32_t to);

  size_t size() const { return heads_.size(); }
  const std::vector<Edge>& edges() const { return edges_; }
  /// Calls f(edge) for each edge that leaves the node.
  template <typename F>
  void each(uint32_t node, const F& f) const {
    for (uint32_t e = heads_[node]; e != kNone; e = edges_[e].next) f(edges_[e]);
  }

 private:
  void add(uint32_t from, Edge edge);
  int64_t max_nodes_;
  std::vector<uint32_t> heads_;
  std::vector<Edge> edges_;
};

struct NfaRule {
  uint32_t start = Nfa::kNone, end = Nfa::kNone;  // kNone: everywhere inlined, or never used
};

/// Adds the rules that rule 0 needs. Small ones, and ones used once, are put in place of their calls, as long as that
/// ends; the others are called.
std::vector<NfaRule> add_rules(const Rules& rules, Nfa& nfa);

}  // namespace mica::constraint_detail
