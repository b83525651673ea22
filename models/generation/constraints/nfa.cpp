#include "mica/models/generation/constraints/nfa.h"

#include <algorithm>
#include <map>
#include <string>

#include "mica/base/error.h"

namespace mica::constraint_detail {

uint32_t Nfa::add_node() {
  if (static_cast<int64_t>(heads_.size()) >= max_nodes_) {
    throw Error("the constraint is too large: more than " + std::to_string(max_nodes_) + " places", "constraint",
                "lower its counts (maxLength, maxItems, {m,n}), or raise max_states");
  }
  heads_.push_back(kNone);
  return static_cast<uint32_t>(heads_.size() - 1);
}

void Nfa::add(uint32_t from, Edge edge) {
  edge.next = heads_[from];
  heads_[from] = static_cast<uint32_t>(edges_.size());
  edges_.push_back(edge);
}
void Nfa::add_bytes(uint32_t from, uint8_t first, uint8_t last, uint32_t to) {
  add(from, {Kind::bytes, first, last, 0, to, 0});
}
void Nfa::add_empty(uint32_t from, uint32_t to) {
  add(from, {Kind::empty, 0, 0, 0, to, 0});
}
void Nfa::add_rule(uint32_t from, uint32_t rule, uint32_t to) {
  add(from, {Kind::rule, 0, 0, rule, to, 0});
}

namespace {

using Kind = Expression::Kind;

constexpr int64_t kSmall = 48;        // expressions up to this size are put in place
constexpr int kMaxHeight = 32;        // of rules put in place within each other
constexpr int64_t kHuge = 1'000'000;  // sizes are not counted beyond

int64_t copies(const Expression& e) {
  return std::clamp<int64_t>(e.max < 0 ? e.min + 1 : e.max, 1, kHuge);
}

// Which rules are put in place of their calls.
class Inlining {
 public:
  explicit Inlining(const Rules& rules)
      : rules_(rules),
        uses_(rules.size()),
        recursive_(rules.size()),
        inlined_(rules.size()),
        size_(rules.size()),
        height_(rules.size()),
        calls_(rules.size()) {
    for (size_t r = 0; r < rules.size(); ++r) collect(*rules[r].body, 1, calls_[r]);
    uses_[0] = 2;
    order();
  }
  bool operator[](size_t rule) const { return inlined_[rule]; }

 private:
  void collect(const Expression& e, int64_t times, std::vector<size_t>& calls) {
    if (e.kind == Kind::rule) {
      uses_[e.rule] = std::min(uses_[e.rule] + times, kHuge);
      calls.push_back(e.rule);
    }
    if (e.kind == Kind::repeat) times = std::min(times * copies(e), kHuge);
    for (const ExpressionPtr& part : e.parts) collect(*part, times, calls);
  }

  // Depth first, without recursion: a rule met again while it is open is recursive, and stays a call. Every cycle has
  // such a rule, so that putting the others in place ends.
  void order() {
    enum : uint8_t { kNew, kOpen, kDone };
    std::vector<uint8_t> state(rules_.size(), kNew);
    std::vector<std::pair<size_t, size_t>> open;
    for (size_t root = 0; root < rules_.size(); ++root) {
      if (state[root] != kNew) continue;
      state[root] = kOpen;
      open.emplace_back(root, 0);
      while (!open.empty()) {
        auto& [rule, next] = open.back();
        if (next == calls_[rule].size()) {
          state[rule] = kDone;
          decide(rule);
          open.pop_back();
          continue;
        }
        const size_t callee = calls_[rule][next++];
        if (state[callee] == kOpen) recursive_[callee] = true;
        if (state[callee] == kNew) {
          state[callee] = kOpen;
          open.emplace_back(callee, 0);
        }
      }
    }
  }

  void decide(size_t rule) {
    int height = 0;
    size_[rule] = measure(*rules_[rule].body, height);
    height_[rule] = height + 1;
    inlined_[rule] =
        !recursive_[rule] && rule != 0 && height_[rule] <= kMaxHeight && (size_[rule] <= kSmall || uses_[rule] == 1);
  }

  int64_t measure(const Expression& e, int& height) const {
    int64_t size = 1;
    switch (e.kind) {
      case Kind::text:
        return static_cast<int64_t>(e.text.size());
      case Kind::set:
        return 4;
      case Kind::automaton:
        return static_cast<int64_t>(e.automaton->states.size());
      case Kind::rule:
        if (!inlined_[e.rule]) return 1;
        height = std::max(height, height_[e.rule]);
        return size_[e.rule];
      default:
        break;
    }
    for (const ExpressionPtr& part : e.parts) size += measure(*part, height);
    if (e.kind == Kind::repeat) size *= copies(e);
    return std::min(size, kHuge);
  }

  const Rules& rules_;
  std::vector<int64_t> uses_;
  std::vector<bool> recursive_, inlined_;
  std::vector<int64_t> size_;
  std::vector<int> height_;
  std::vector<std::vector<size_t>> calls_;
};

// K. Thompson's construction: each expression adds nodes from a given one on and says where it ends.
class Builder {
 public:
  Builder(const Rules& rules, Nfa& nfa) : rules_(rules), inlining_(rules), nfa_(nfa), made_(rules.size()) {}

  std::vector<NfaRule> build() {
    wanted_.push_back(0);
    made_[0].start = nfa_.add_node();
    while (!wanted_.empty()) {
      const size_t rule = wanted_.back();
      wanted_.pop_back();
      made_[rule].end = add(*rules_[rule].body, made_[rule].start);
    }
    return std::move(made_);
  }

 private:
  uint32_t add(const Expression& e, uint32_t from) {
    switch (e.kind) {
      case Kind::text:
        return add_text(e.text, from);
      case Kind::set:
        return add_set(e.set, from);
      case Kind::sequence:
        for (const ExpressionPtr& part : e.parts) from = add(*part, from);
        return from;
      case Kind::choice:
        return add_choice(e, from);
      case Kind::repeat:
        return add_repeat(e, from);
      case Kind::rule:
        return add_call(e.rule, from);
      case Kind::list:
        return add_list(e, from);
      case Kind::automaton:
        return add_automaton(*e.automaton, from);
    }
    return from;
  }

  uint32_t add_text(const std::string& text, uint32_t from) {
    for (const char c : text) {
      const uint32_t to = nfa_.add_node();
      nfa_.add_bytes(from, static_cast<uint8_t>(c), static_cast<uint8_t>(c), to);
      from = to;
    }
    return from;
  }

  // Equal tails of the byte sequences share their nodes.
  uint32_t add_set(const CodePointSet& set, uint32_t from) {
    const uint32_t end = nfa_.add_node();
    std::map<std::vector<ByteRange>, uint32_t> tails;
    for (const auto& ranges : set.utf8()) {
      uint32_t to = end;
      for (size_t i = ranges.size() - 1; i > 0; --i) {
        const auto [tail, added] =
            tails.try_emplace({ranges.begin() + static_cast<std::ptrdiff_t>(i), ranges.end()}, Nfa::kNone);
        if (added) {
          tail->second = nfa_.add_node();
          nfa_.add_bytes(tail->second, ranges[i].first, ranges[i].last, to);
        }
        to = tail->second;
      }
      nfa_.add_bytes(from, ranges[0].first, ranges[0].last, to);
    }
    return end;
  }

  uint32_t add_choice(const Expression& e, uint32_t from) {
    const uint32_t end = nfa_.add_node();
    for (const ExpressionPtr& part : e.parts) {
      const uint32_t start = nfa_.add_node();
      nfa_.add_empty(from, start);
      nfa_.add_empty(add(*part, start), end);
    }
    return end;
  }

  uint32_t add_repeat(const Expression& e, uint32_t from) {
    const Expression& part = *e.parts[0];
    for (int64_t i = 0; i < e.min; ++i) {
      const uint32_t to = add(part, from);
      if (to == from) break;  // an empty part, which may be asked for any number of times
      from = to;
    }
    if (e.max < 0) {
      const uint32_t loop = nfa_.add_node(), end = nfa_.add_node();
      nfa_.add_empty(from, loop);
      nfa_.add_empty(add(part, loop), loop);
      nfa_.add_empty(loop, end);
      return end;
    }
    if (e.min == e.max) return from;
    const uint32_t end = nfa_.add_node();
    for (int64_t i = e.min; i < e.max; ++i) {
      const uint32_t start = nfa_.add_node();
      nfa_.add_empty(from, start);
      nfa_.add_empty(from, end);
      from = add(part, start);
    }
    nfa_.add_empty(from, end);
    return end;
  }

  uint32_t add_call(size_t rule, uint32_t from) {
    if (inlining_[rule]) return add(*rules_[rule].body, from);
    if (made_[rule].start == Nfa::kNone) {
      made_[rule].start = nfa_.add_node();
      wanted_.push_back(rule);
    }
    const uint32_t to = nfa_.add_node();
    nfa_.add_rule(from, static_cast<uint32_t>(rule), to);
    return to;
  }

  // Two rows of places: before item i when nothing has come yet, and when something has. Both lead to the item; from
  // the second row through the separator.
  uint32_t add_list(const Expression& e, uint32_t from) {
    const uint32_t end = nfa_.add_node();
    const size_t items = e.parts.size() - 1;
    uint32_t none = from, some = nfa_.add_node();
    for (size_t i = 0; i < items; ++i) {
      const uint32_t item = nfa_.add_node(), next_none = nfa_.add_node(), next_some = nfa_.add_node();
      nfa_.add_empty(none, item);
      nfa_.add_empty(add(*e.parts.back(), some), item);
      const uint32_t done = add(*e.parts[i], item);
      nfa_.add_empty(done, next_some);
      if (e.repeats_last && i + 1 == items) nfa_.add_empty(done, some);
      if (!e.required[i]) {
        nfa_.add_empty(none, next_none);
        nfa_.add_empty(some, next_some);
      }
      none = next_none;
      some = next_some;
    }
    nfa_.add_empty(none, end);
    nfa_.add_empty(some, end);
    return end;
  }

  uint32_t add_automaton(const ByteDfa& dfa, uint32_t from) {
    const uint32_t end = nfa_.add_node();
    std::vector<uint32_t> nodes;
    for (size_t i = 0; i < dfa.states.size(); ++i) nodes.push_back(nfa_.add_node());
    if (nodes.empty()) return end;
    nfa_.add_empty(from, nodes[0]);
    for (size_t i = 0; i < dfa.states.size(); ++i) {
      for (const ByteDfa::Edge& edge : dfa.states[i].edges) {
        nfa_.add_bytes(nodes[i], edge.first, edge.last, nodes[edge.to]);
      }
      if (dfa.states[i].accepting) nfa_.add_empty(nodes[i], end);
    }
    return end;
  }

  const Rules& rules_;
  Inlining inlining_;
  Nfa& nfa_;
  std::vector<NfaRule> made_;
  std::vector<size_t> wanted_;
};

}  // namespace

std::vector<NfaRule> add_rules(const Rules& rules, Nfa& nfa) {
  return Builder(rules, nfa).build();
}

}  // namespace mica::constraint_detail
