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
  // Where a rule may end, a walk must note that: no run goes on. Below the whole text's own rule lies nothing.
  bool stops(uint32_t node) const { return automata_.accepting[node] != 0 && automata_.ends_matter(node); }

  // The nodes behind one plain character, whichever it is. False when some plain character does not fit; `any` says
  // whether one may.
  bool behind_one(uint32_t node, std::vector<uint32_t>& targets, bool& any) {
    targets.clear();
    any = false;
    bool all = true;
    for (const ByteDfa::Edge& edge : plain_.states[0].edges) {
      for (size_t c = automata_.class_of[edge.first]; c <= automata_.class_of[edge.last]; ++c) {
        const bool fits = automata_.next(node, c) != kNone;
        any |= fits;
        all &= fits;
        if (any && !all) return false;
      }
    }
    if (!all) return false;
    open_.assign(1, {0, node});  // within the character: (its automaton's state, the node)
    for (size_t i = 0; i < open_.size(); ++i) {
      const auto [inside, at] = open_[i];
      for (const ByteDfa::Edge& edge : plain_.states[inside].edges) {
        for (size_t c = automata_.class_of[edge.first]; c <= automata_.class_of[edge.last]; ++c) {
          const uint32_t to = automata_.next(at, c);
          if (to == kNone) return false;
          if (plain_.states[edge.to].accepting) {
            if (std::find(targets.begin(), targets.end(), to) == targets.end()) targets.push_back(to);
            continue;
          }
          if (automata_.accepting[to] != 0 || calls(to)) return false;  // inside a character
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
    std::vector<uint32_t> order, behind, second;
    for (uint32_t node = 0; node < automata_.nodes(); ++node) {
      bool any = false;
      if (!calls(node) && behind_one(node, behind, any)) {
        runs_[node].length = PlainRun::kForever;
        targets_[node] = static_cast<uint32_t>(behind.size());
        bool short_run = false;
        for (const uint32_t to : behind) {
          back_[to].push_back(node);
          short_run |= stops(to);
        }
        if (short_run) {
          runs_[node].length = 1;
          second.push_back(node);
        }
      } else {
        runs_[node].closed = !any && !calls(node);
        order.push_back(node);
      }
    }
    order.insert(order.end(), second.begin(), second.end());
    for (size_t i = 0; i < order.size(); ++i) {
      const uint32_t node = order[i];
      if (stops(node)) continue;
      const auto longer = static_cast<uint16_t>(std::min<int>(runs_[node].length + 1, PlainRun::kForever - 1));
      for (const uint32_t from : back_[node]) {
        if (runs_[from].length <= longer) continue;
        runs_[from].length = longer;
        order.push_back(from);
      }
    }
  }

  // Closed where all nodes behind the first character are, and as long as each other.
  void find_closed() {
    std::vector<uint32_t> order;
    for (uint32_t node = 0; node < runs_.size(); ++node) {
      if (runs_[node].closed) order.push_back(node);
    }
    for (size_t i = 0; i < order.size(); ++i) {
      const uint32_t node = order[i];
      if (stops(node)) continue;
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
