#include "mica/models/generation/constraints/automata.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "mica/base/error.h"
#include "mica/models/generation/constraints/nfa.h"
#include "mica/models/generation/constraints/plain_text.h"

namespace mica::constraint_detail {
namespace {

constexpr uint32_t kNone = Automata::kNone;

[[noreturn]] void too_large(int64_t max_states) {
  throw Error("the constraint is too large: more than " + std::to_string(max_states) + " states", "constraint",
              "lower its counts (maxLength, maxItems, {m,n}), or raise max_states");
}

// Subset construction (M. Rabin and D. Scott 1959), where a call is a symbol like a byte.
class Determiniser {
 public:
  Determiniser(const Nfa& nfa, int64_t max_states) : nfa_(nfa), max_states_(max_states), seen_(nfa.size()) {
    set_begin_.push_back(0);
    make_classes();
    targets_.resize(out_.classes());
  }

  /// Adds the automaton of one rule.
  void add(const NfaRule& rule, const std::string& name) {
    end_ = rule.end;
    rule_ = static_cast<uint32_t>(out_.rules.size());
    seeds_.assign(1, rule.start);
    const uint32_t start = state();
    out_.rules.push_back({name, start, false});
    for (uint32_t node = start; node < out_.nodes(); ++node) expand(node);
  }

  Automata finish() && { return std::move(out_); }

 private:
  void make_classes() {
    bool begins[257] = {true};
    const auto mark = [&](unsigned first, unsigned last) { begins[first] = begins[last + 1] = true; };
    for (const Nfa::Edge& edge : nfa_.edges()) {
      if (edge.kind == Nfa::Kind::bytes) mark(edge.first, edge.last);
    }
    for (const auto& sequence : plain_characters().utf8()) {
      for (const ByteRange range : sequence) mark(range.first, range.last);
    }
    for (unsigned byte = 0; byte < 256; ++byte) {
      if (begins[byte]) out_.byte_of.push_back(static_cast<uint8_t>(byte));
      out_.class_of[byte] = static_cast<uint8_t>(out_.byte_of.size() - 1);
    }
  }

  // The node for the NFA nodes that seeds_ reach without a byte; only those that have a way on are kept.
  uint32_t state() {
    ++stamp_;
    size_t kept = members_.size();
    bool ends = false;
    while (!seeds_.empty()) {
      const uint32_t at = seeds_.back();
      seeds_.pop_back();
      if (seen_[at] == stamp_) continue;
      seen_[at] = stamp_;
      bool on = at == end_;
      ends |= on;
      nfa_.each(at, [&](const Nfa::Edge& edge) {
        if (edge.kind == Nfa::Kind::empty) {
          seeds_.push_back(edge.to);
        } else {
          on = true;
        }
      });
      if (on) members_.push_back(at);
    }
    if (static_cast<int64_t>(members_.size()) > 64 * max_states_) too_large(max_states_);
    const auto from = members_.begin() + static_cast<std::ptrdiff_t>(kept);
    std::sort(from, members_.end());
    uint64_t hash = 1469598103934665603u;
    for (auto it = from; it != members_.end(); ++it) hash = (hash ^ *it) * 1099511628211u;
    const auto [first, last] = known_.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      const uint32_t node = it->second;
      if (out_.rule_of[node] == rule_ && std::equal(from, members_.end(), members_.begin() + set_begin_[node],
                                                    members_.begin() + set_begin_[node + 1])) {
        members_.resize(kept);
        return node;
      }
    }
    const auto node = static_cast<uint32_t>(out_.nodes());
    if (static_cast<int64_t>(node) >= max_states_) too_large(max_states_);
    known_.emplace(hash, node);
    set_begin_.push_back(static_cast<uint32_t>(members_.size()));
    out_.accepting.push_back(ends ? 1 : 0);
    out_.rule_of.push_back(rule_);
    return node;
  }

  void expand(uint32_t node) {
    const size_t classes = out_.classes();
    std::vector<std::pair<uint32_t, uint32_t>> calls;
    for (uint32_t i = set_begin_[node]; i < set_begin_[node + 1]; ++i) {
      nfa_.each(members_[i], [&](const Nfa::Edge& edge) {
        if (edge.kind == Nfa::Kind::rule) calls.emplace_back(edge.rule, edge.to);
        if (edge.kind != Nfa::Kind::bytes) return;
        for (size_t c = out_.class_of[edge.first]; c <= out_.class_of[edge.last]; ++c) targets_[c].push_back(edge.to);
      });
    }
    out_.table.resize((node + 1) * classes, kNone);
    size_t same = classes;  // the last class that led anywhere
    for (size_t c = 0; c < classes; ++c) {
      if (targets_[c].empty()) continue;
      if (same < c && targets_[same] == targets_[c]) {
        out_.table[node * classes + c] = out_.table[node * classes + same];
      } else {
        seeds_ = targets_[c];
        const uint32_t to = state();
        out_.table[node * classes + c] = to;
      }
      same = c;
    }
    for (auto& target : targets_) target.clear();
    out_.call_begin.push_back(static_cast<uint32_t>(out_.calls.size()));
    std::sort(calls.begin(), calls.end());
    for (size_t i = 0; i < calls.size();) {
      const uint32_t rule = calls[i].first;
      for (; i < calls.size() && calls[i].first == rule; ++i) seeds_.push_back(calls[i].second);
      const uint32_t to = state();
      out_.calls.push_back({rule, to});
    }
  }

  const Nfa& nfa_;
  int64_t max_states_;
  Automata out_;
  uint32_t rule_ = 0, end_ = 0, stamp_ = 0;
  std::vector<uint32_t> seen_, seeds_;
  std::vector<uint32_t> members_, set_begin_;  // the NFA nodes of each node
  std::unordered_multimap<uint64_t, uint32_t> known_;
  std::vector<std::vector<uint32_t>> targets_;
};

// Takes out what leads nowhere. Returns false when the whole text does.
bool prune(Automata& a) {
  const size_t nodes = a.nodes();
  std::vector<std::pair<uint32_t, uint32_t>> back;  // (to, from), over bytes
  for (uint32_t node = 0; node < nodes; ++node) {
    uint32_t same = kNone;
    for (size_t c = 0; c < a.classes(); ++c) {
      const uint32_t to = a.next(node, c);
      if (to != kNone && to != same) back.emplace_back(to, node);
      same = to;
    }
  }
  std::sort(back.begin(), back.end());
  std::vector<std::vector<std::pair<uint32_t, Automata::Call>>> by_rule(a.rules.size());  // (node, call)
  std::unordered_multimap<uint32_t, std::pair<uint32_t, uint32_t>> by_target;             // to: (node, rule)
  for (uint32_t node = 0; node < nodes; ++node) {
    for (uint32_t i = a.call_begin[node]; i < a.call_begin[node + 1]; ++i) {
      by_rule[a.calls[i].rule].emplace_back(node, a.calls[i]);
      by_target.emplace(a.calls[i].to, std::pair(node, a.calls[i].rule));
    }
  }
  std::vector<uint8_t> good(nodes, 0);
  std::vector<uint32_t> open;
  const auto found = [&](uint32_t node) {
    if (good[node] == 0) open.push_back(node);
    good[node] = 1;
  };
  const auto rule_is_good = [&](uint32_t rule) { return good[a.rules[rule].start] != 0; };
  for (uint32_t node = 0; node < nodes; ++node) {
    if (a.accepting[node] != 0) found(node);
  }
  while (!open.empty()) {
    const uint32_t node = open.back();
    open.pop_back();
    const auto from = std::lower_bound(back.begin(), back.end(), std::pair(node, uint32_t{0}));
    for (auto it = from; it != back.end() && it->first == node; ++it) found(it->second);
    const auto [first, last] = by_target.equal_range(node);
    for (auto it = first; it != last; ++it) {
      if (rule_is_good(it->second.second)) found(it->second.first);
    }
    const uint32_t rule = a.rule_of[node];
    if (node != a.rules[rule].start) continue;
    for (const auto& [caller, call] : by_rule[rule]) {
      if (good[call.to] != 0) found(caller);
    }
  }
  for (uint32_t& to : a.table) {
    if (to != kNone && good[to] == 0) to = kNone;
  }
  std::vector<Automata::Call> calls;
  std::vector<uint32_t> begin;
  for (uint32_t node = 0; node < nodes; ++node) {
    begin.push_back(static_cast<uint32_t>(calls.size()));
    for (uint32_t i = a.call_begin[node]; i < a.call_begin[node + 1]; ++i) {
      if (good[a.calls[i].to] != 0 && rule_is_good(a.calls[i].rule)) calls.push_back(a.calls[i]);
    }
  }
  begin.push_back(static_cast<uint32_t>(calls.size()));
  a.calls = std::move(calls);
  a.call_begin = std::move(begin);
  return rule_is_good(0);
}

// Nodes reached from the rule's start without a byte, through rules that may be empty.
template <typename F>
void each_first_node(const Automata& a, uint32_t rule, const F& f) {
  std::vector<uint32_t> nodes{a.rules[rule].start};
  for (size_t i = 0; i < nodes.size(); ++i) {
    f(nodes[i]);
    for (uint32_t c = a.call_begin[nodes[i]]; c < a.call_begin[nodes[i] + 1]; ++c) {
      if (!a.rules[a.calls[c].rule].nullable) continue;
      const uint32_t to = a.calls[c].to;
      if (std::find(nodes.begin(), nodes.end(), to) == nodes.end()) nodes.push_back(to);
    }
  }
}

void find_nullable(Automata& a) {
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t rule = 0; rule < a.rules.size(); ++rule) {
      if (a.rules[rule].nullable) continue;
      bool nullable = false;
      each_first_node(a, rule, [&](uint32_t node) { nullable |= a.accepting[node] != 0; });
      a.rules[rule].nullable = nullable;
      changed |= nullable;
    }
  }
}

// A rule that calls itself before any byte would be called without end.
void refuse_left_recursion(const Automata& a) {
  std::vector<std::vector<uint32_t>> first(a.rules.size());
  for (uint32_t rule = 0; rule < a.rules.size(); ++rule) {
    each_first_node(a, rule, [&](uint32_t node) {
      for (uint32_t c = a.call_begin[node]; c < a.call_begin[node + 1]; ++c) first[rule].push_back(a.calls[c].rule);
    });
  }
  enum : uint8_t { kNew, kOpen, kDone };
  std::vector<uint8_t> state(a.rules.size(), kNew);
  std::vector<std::pair<uint32_t, size_t>> open;
  for (uint32_t root = 0; root < a.rules.size(); ++root) {
    if (state[root] != kNew) continue;
    open.emplace_back(root, 0);
    state[root] = kOpen;
    while (!open.empty()) {
      auto& [rule, next] = open.back();
      if (next == first[rule].size()) {
        state[rule] = kDone;
        open.pop_back();
        continue;
      }
      const uint32_t callee = first[rule][next++];
      if (state[callee] == kOpen) {
        throw Error("rule " + printable(a.rules[callee].name, 60) + " begins with itself", "constraint",
                    "write left recursion as a repetition: list ::= item (\",\" item)*");
      }
      if (state[callee] == kNew) {
        state[callee] = kOpen;
        open.emplace_back(callee, 0);
      }
    }
  }
}

// False when nothing fits.
bool build(const Rules& rules, int64_t max_states, Automata& result) {
  Nfa nfa(std::max<int64_t>(16 * max_states, 1000));
  const std::vector<NfaRule> made = add_rules(rules, nfa);
  Determiniser determiniser(nfa, max_states);
  std::vector<uint32_t> number(rules.size(), kNone);
  uint32_t count = 0;
  for (size_t r = 0; r < rules.size(); ++r) {
    if (made[r].start == Nfa::kNone) continue;
    number[r] = count++;
    determiniser.add(made[r], rules[r].name);
  }
  result = std::move(determiniser).finish();
  result.call_begin.push_back(static_cast<uint32_t>(result.calls.size()));
  for (Automata::Call& called : result.calls) called.rule = number[called.rule];
  if (!prune(result)) return false;
  find_nullable(result);
  refuse_left_recursion(result);
  for (uint32_t node = 0; node < result.nodes(); ++node) {
    bool on = result.call_begin[node] != result.call_begin[node + 1];
    for (size_t c = 0; c < result.classes() && !on; ++c) on = result.next(node, c) != kNone;
    result.last.push_back(on ? 0 : 1);
  }
  for (const Automata::Call& called : result.calls) result.root_is_called |= called.rule == 0;
  return true;
}

// Runs two automata side by side; `b` may be dead where `only_a`.
ByteDfa product(const ByteDfa& a, const ByteDfa& b, bool only_a, int64_t max_states) {
  ByteDfa out;
  std::unordered_map<uint64_t, uint32_t> known;
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  const auto state = [&](uint32_t p, uint32_t q) {
    const auto [it, added] = known.try_emplace(uint64_t{p} << 32 | q, static_cast<uint32_t>(pairs.size()));
    if (added) {
      if (static_cast<int64_t>(pairs.size()) >= max_states) too_large(max_states);
      pairs.emplace_back(p, q);
    }
    return it->second;
  };
  if (a.states.empty()) return out;
  state(0, b.states.empty() ? kNone : 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [p, q] = pairs[i];
    const bool in_b = q != kNone && b.states[q].accepting;
    ByteDfa::State made{.edges = {}, .accepting = a.states[p].accepting && in_b != only_a};
    for (const ByteDfa::Edge& edge : a.states[p].edges) {
      unsigned at = edge.first;
      if (q != kNone) {
        for (const ByteDfa::Edge& other : b.states[q].edges) {
          const unsigned first = std::max<unsigned>(at, other.first), last = std::min(edge.last, other.last);
          if (first > last) continue;
          if (only_a && first > at) {
            made.edges.push_back({static_cast<uint8_t>(at), static_cast<uint8_t>(first - 1), state(edge.to, kNone)});
          }
          made.edges.push_back({static_cast<uint8_t>(first), static_cast<uint8_t>(last), state(edge.to, other.to)});
          at = last + 1;
        }
      }
      if (only_a && at <= edge.last) made.edges.push_back({static_cast<uint8_t>(at), edge.last, state(edge.to, kNone)});
    }
    out.states.push_back(std::move(made));
  }
  return out;
}

}  // namespace

Automata build_automata(const Rules& rules, int64_t max_states) {
  Automata result;
  if (!build(rules, max_states, result)) {
    throw Error("nothing fits the constraint", "constraint",
                "make sure that each rule has an alternative that does not call itself");
  }
  return result;
}

ByteDfa build_dfa(const ExpressionPtr& expression, int64_t max_states) {
  Automata a;
  ByteDfa dfa;
  if (!build({{"", expression}}, max_states, a)) {
    dfa.states.resize(1);
    return dfa;
  }
  dfa.states.resize(a.nodes());
  for (uint32_t node = 0; node < a.nodes(); ++node) {
    ByteDfa::State& state = dfa.states[node];
    state.accepting = a.accepting[node] != 0;
    for (size_t c = 0; c < a.classes(); ++c) {
      const uint32_t to = a.next(node, c);
      if (to == kNone) continue;
      const unsigned last = c + 1 < a.classes() ? a.byte_of[c + 1] - 1u : 255u;
      if (!state.edges.empty() && state.edges.back().to == to && state.edges.back().last + 1u == a.byte_of[c]) {
        state.edges.back().last = static_cast<uint8_t>(last);
      } else {
        state.edges.push_back({a.byte_of[c], static_cast<uint8_t>(last), to});
      }
    }
  }
  return dfa;
}

ByteDfa intersection(const ByteDfa& a, const ByteDfa& b, int64_t max_states) {
  return product(a, b, false, max_states);
}
ByteDfa difference(const ByteDfa& a, const ByteDfa& b, int64_t max_states) {
  return product(a, b, true, max_states);
}

}  // namespace mica::constraint_detail
