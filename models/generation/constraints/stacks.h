#pragma once
// Sets of stacks, and what a byte makes of them: how rules that call each other are followed without guessing.
//
// A stack says where a text stands: the node of the rule it is in, below it the node at which that rule's caller goes
// on, and so forth. Several stacks are followed at once. Those with the same top are one item, whose rest is a set of
// stacks again, so that common tails are kept once (the idea of M. Tomita's graph-structured stack, 1986) and equal
// sets have equal numbers.

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "mica/models/generation/constraints/automata.h"

namespace mica::constraint_detail {

using StackId = uint32_t;
constexpr StackId kNoStacks = 0;    // no way on
constexpr StackId kEmptyStack = 1;  // one stack, without items: the text has ended

class StackStore {
 public:
  struct Item {
    uint32_t node = 0;
    StackId below = 0;
    bool operator==(const Item&) const = default;
  };
  StackStore();

  std::span<const Item> items(StackId id) const { return {items_.data() + sets_[id].begin, sets_[id].count}; }
  /// The empty stack is among them.
  bool has_empty(StackId id) const { return sets_[id].has_empty; }
  size_t size() const { return sets_.size(); }

  /// The set of these; `items` sorted by node, each node once.
  StackId intern(bool has_empty, std::span<const Item> items);
  StackId single(uint32_t node, StackId below) {
    const Item item{node, below};
    return intern(false, {&item, 1});
  }
  StackId unite(StackId a, StackId b);
  /// Forgets all sets that `root` does not need; returns its new number.
  StackId keep_only(StackId root);

 private:
  struct Set {
    uint32_t begin = 0, count = 0;
    bool has_empty = false;
  };
  std::vector<Set> sets_;
  std::vector<Item> items_;
  std::unordered_multimap<uint64_t, StackId> known_;
};

/// Follows bytes. Works on a store of the caller's; not for several threads at once.
class Stepper {
 public:
  explicit Stepper(const Automata& automata) : automata_(automata) {}

  /// All stacks that `from` becomes without a byte: calls entered, ended rules left.
  struct Closure {
    std::vector<StackStore::Item> items;
    bool has_empty = false;
  };
  const Closure& close(StackStore& store, StackId from);
  /// After one more byte of this class. Rules that can only end are left at once.
  StackId step(StackStore& store, StackId from, size_t byte_class);

 private:
  void add(StackStore& store, uint32_t node, StackId below);

  const Automata& automata_;
  Closure closure_;
  std::unordered_map<uint32_t, uint32_t> place_;  // node: its item
  std::vector<uint32_t> open_;                    // items to look at
};

}  // namespace mica::constraint_detail
