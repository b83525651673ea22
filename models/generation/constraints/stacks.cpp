#include "mica/models/generation/constraints/stacks.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"

namespace mica::constraint_detail {
namespace {

// Stacks of sensible rules share so much that a few hundred sets are many.
constexpr size_t kMaxSets = 500'000;

}  // namespace

StackStore::StackStore() {
  sets_.push_back({});
  sets_.push_back({0, 0, true});
}

StackId StackStore::intern(bool has_empty, std::span<const Item> items) {
  if (items.empty()) return has_empty ? kEmptyStack : kNoStacks;
  uint64_t hash = has_empty ? 7 : 3;
  for (const Item& item : items) {
    hash = (hash ^ (uint64_t{item.node} << 32 | item.below)) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
  }
  const auto [first, last] = known_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    const auto known = this->items(it->second);
    if (sets_[it->second].has_empty == has_empty &&
        std::equal(known.begin(), known.end(), items.begin(), items.end())) {
      return it->second;
    }
  }
  if (sets_.size() >= kMaxSets) {
    throw Error("the grammar is too ambiguous: a text can be read in more than " + std::to_string(kMaxSets) + " ways",
                "constraint", "rewrite the rules so that fewer of them fit the same text");
  }
  const auto id = static_cast<StackId>(sets_.size());
  sets_.push_back({static_cast<uint32_t>(items_.size()), static_cast<uint32_t>(items.size()), has_empty});
  items_.insert(items_.end(), items.begin(), items.end());
  known_.emplace(hash, id);
  return id;
}

StackId StackStore::unite(StackId a, StackId b) {
  if (a == b || b == kNoStacks) return a;
  if (a == kNoStacks) return b;
  // Copies: what is united below may move the items.
  const std::vector<Item> left(items(a).begin(), items(a).end()), right(items(b).begin(), items(b).end());
  std::vector<Item> all;
  auto l = left.begin(), r = right.begin();
  while (l != left.end() || r != right.end()) {
    if (r == right.end() || (l != left.end() && l->node < r->node)) {
      all.push_back(*l++);
    } else if (l == left.end() || r->node < l->node) {
      all.push_back(*r++);
    } else {
      all.push_back({l->node, unite(l->below, r->below)});
      ++l, ++r;
    }
  }
  return intern(has_empty(a) || has_empty(b), all);
}

StackId StackStore::keep_only(StackId root) {
  StackStore kept;
  std::unordered_map<StackId, StackId> moved{{kNoStacks, kNoStacks}, {kEmptyStack, kEmptyStack}};
  std::vector<StackId> open{root};
  while (!open.empty()) {
    const StackId id = open.back();
    bool ready = true;
    for (const Item& item : items(id)) {
      if (moved.count(item.below) != 0) continue;
      open.push_back(item.below);
      ready = false;
    }
    if (!ready) continue;
    open.pop_back();
    if (moved.count(id) != 0) continue;
    std::vector<Item> now(items(id).begin(), items(id).end());
    for (Item& item : now) item.below = moved.at(item.below);
    moved.emplace(id, kept.intern(has_empty(id), now));
  }
  *this = std::move(kept);
  return moved.at(root);
}

void Stepper::add(StackStore& store, uint32_t node, StackId below) {
  const auto [it, added] = place_.try_emplace(node, static_cast<uint32_t>(closure_.items.size()));
  if (added) {
    closure_.items.push_back({node, below});
    open_.push_back(it->second);
    return;
  }
  StackId& known = closure_.items[it->second].below;
  const StackId all = store.unite(known, below);
  if (all == known) return;
  known = all;
  open_.push_back(it->second);
}

const Stepper::Closure& Stepper::close(StackStore& store, StackId from) {
  closure_.items.clear();
  closure_.has_empty = store.has_empty(from);
  place_.clear();
  open_.clear();
  for (size_t i = 0; i < store.items(from).size(); ++i) {
    const StackStore::Item item = store.items(from)[i];
    add(store, item.node, item.below);
  }
  const Automata& a = automata_;
  while (!open_.empty()) {
    const auto [node, below] = closure_.items[open_.back()];
    open_.pop_back();
    for (uint32_t c = a.call_begin[node]; c < a.call_begin[node + 1]; ++c) {
      const Automata::Call& call = a.calls[c];
      // A call that is the last thing of its rule needs no place to come back to.
      add(store, a.rules[call.rule].start, a.last[call.to] != 0 ? below : store.single(call.to, below));
    }
    if (a.accepting[node] == 0) continue;
    closure_.has_empty |= store.has_empty(below);
    for (size_t i = 0; i < store.items(below).size(); ++i) {
      const StackStore::Item item = store.items(below)[i];
      add(store, item.node, item.below);
    }
  }
  return closure_;
}

StackId Stepper::step(StackStore& store, StackId from, size_t byte_class) {
  close(store, from);
  std::vector<StackStore::Item> next;
  StackId left = kNoStacks;  // what rules that ended leave
  for (const StackStore::Item& item : closure_.items) {
    const uint32_t to = automata_.next(item.node, byte_class);
    if (to == Automata::kNone) continue;
    if (automata_.last[to] != 0) {
      left = store.unite(left, item.below);
    } else {
      next.push_back({to, item.below});
    }
  }
  if (next.empty()) return left;
  std::sort(next.begin(), next.end(), [](const auto& a, const auto& b) { return a.node < b.node; });
  std::vector<StackStore::Item> merged;
  for (const StackStore::Item& item : next) {
    if (!merged.empty() && merged.back().node == item.node) {
      merged.back().below = store.unite(merged.back().below, item.below);
    } else {
      merged.push_back(item);
    }
  }
  return store.unite(left, store.intern(false, merged));
}

}  // namespace mica::constraint_detail
