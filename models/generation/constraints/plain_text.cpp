#include "mica/models/generation/constraints/plain_text.h"

#include <algorithm>
#include <utility>

namespace mica::constraint_detail {
namespace {

constexpr uint32_t kNone = Automata::kNone;

class Finder {
 public:
  explicit Finder(const Automata& automata)
      : automata_(automata),
        plain_(build_dfa(one_of(plain_characters()), 100)),
        runs_(automata.nodes()),
        back_(automata.nodes()),
        targets_(automata.nodes()) {}

  std::vector<PlainRun> find() {
    find_lengths();
    find_closed();
    return std::move(runs_);
  }

 private:
  bool calls(uint32_t node) const { return automata_.call_begin[node] != automata_.call_begin[node + 1]; }
  bool ends(uint32_t node) const { return automata_.accepting[node] != 0 && automata_.ends_matter(node); }

  // The nodes behind one plain character, whichever it is. False when some plain character does not fit. `open` says
  // whether a rule can end or be called before the character does or, where some do not fit, whether another may.
  bool behind_one(uint32_t node, std::vector<uint32_t>& targets, bool& open) {
    targets.clear();
    open = calls(node);
    bool all = true, any = false;
    for (const ByteDfa::Edge& edge : plain_.states[0].edges) {
      for (size_t c = automata_.class_of[edge.first]; c <= automata_.class_of[edge.last]; ++c) {
        const bool fits = automata_.next(node, c) != kNone;
        any |= fits;
        all &= fits;
      }
    }
    if (!all) {
      open |= any;
      return false;
    }
    open_.assign(1, {0, node});  // within the character: (its automaton's state, the node)
    for (size_t i = 0; i < open_.size(); ++i) {
      const auto [inside, at] = open_[i];
      for (const ByteDfa::Edge& edge : plain_.states[inside].edges) {
        for (size_t c = automata_.class_of[edge.first]; c <= automata_.class_of[edge.last]; ++c) {
          const uint32_t to = automata_.next(at, c);
          if (to == kNone) {
            open = true;
            return false;
          }
          if (plain_.states[edge.to].accepting) {
            if (std::find(targets.begin(), targets.end(), to) == targets.end()) targets.push_back(to);
            continue;
          }
          open |= ends(to) || calls(to);
          const std::pair on(edge.to, to);
          if (std::find(open_.begin(), open_.end(), on) == open_.end()) open_.push_back(on);
        }
      }
    }
    return true;
  }

  // A run is one longer than the shortest of those behind its first character: as long as the way to the nearest node
  // where one character does not fit.
  void find_lengths() {
    std::vector<uint32_t> order, behind;
    for (uint32_t node = 0; node < automata_.nodes(); ++node) {
      bool open = false;
      if (behind_one(node, behind, open)) {
        runs_[node].length = PlainRun::kForever;
        targets_[node] = static_cast<uint32_t>(behind.size()) + (open ? 1 : 0);  // never zero where open
        for (const uint32_t to : behind) back_[to].push_back(node);
      } else {
        runs_[node].closed = !open;
        order.push_back(node);
      }
    }
    for (size_t i = 0; i < order.size(); ++i) {
      const uint32_t node = order[i];
      const auto longer = static_cast<uint16_t>(std::min<int>(runs_[node].length + 1, PlainRun::kForever - 1));
      for (const uint32_t from : back_[node]) {
        if (runs_[from].length <= longer) continue;
        runs_[from].length = longer;
        order.push_back(from);
      }
    }
  }

  // Closed where all nodes behind the first character are, as long as each other, and no ends of the rule.
  void find_closed() {
    std::vector<uint32_t> order;
    for (uint32_t node = 0; node < runs_.size(); ++node) {
      if (runs_[node].closed) order.push_back(node);
    }
    for (size_t i = 0; i < order.size(); ++i) {
      const uint32_t node = order[i];
      if (ends(node)) continue;
      for (const uint32_t from : back_[node]) {
        if (runs_[from].length != runs_[node].length + 1 || --targets_[from] > 0) continue;
        runs_[from].closed = true;
        order.push_back(from);
      }
    }
  }

  const Automata& automata_;
  const ByteDfa plain_;
  std::vector<PlainRun> runs_;
  std::vector<std::vector<uint32_t>> back_;  // nodes one plain character before
  std::vector<uint32_t> targets_;            // how many nodes lie behind one plain character, not yet known as closed
  std::vector<std::pair<uint32_t, uint32_t>> open_;
};

}  // namespace

CodePointSet plain_characters() {
  CodePointSet set;
  set.add(0x20, 0x21);
  set.add(0x23, 0x5b);
  set.add(0x5d, 0x10ffff);
  return set;
}

std::vector<PlainRun> find_plain_runs(const Automata& automata) {
  return Finder(automata).find();
}

}  // namespace mica::constraint_detail
