#include "mica/models/generation/constraints/token_masks.h"

#include <algorithm>
#include <utility>

#include "mica/base/error.h"

namespace mica::constraint_detail {
namespace {

constexpr uint32_t kNone = Automata::kNone;
constexpr uint32_t kDead = 0;                      // local
constexpr int64_t kMostHeld = int64_t{128} << 20;  // bytes of masks; beyond, all are forgotten and made anew
constexpr size_t kMostLocals = 50'000;             // likewise
constexpr size_t kTooManyLocals = 20 * kMostLocals;

}  // namespace

TokenMasks::TokenMasks(std::shared_ptr<const TokenTrie> trie, Automata automata)
    : trie_(std::move(trie)),
      automata_(std::move(automata)),
      plain_runs_(find_plain_runs(automata_)),
      stepper_(automata_) {
  roots_ = std::make_shared<const std::vector<uint32_t>>(std::vector{trie_->plain_root(), trie_->other_root()});
  reset();
}

void TokenMasks::reset() {
  store_ = StackStore();
  locals_.assign(1, {});
  rows_.assign(automata_.classes(), kDead);
  local_of_ = {{kNoStacks, kDead}};
}

uint32_t TokenMasks::local(StackId stacks) {
  const auto [it, added] = local_of_.try_emplace(stacks, static_cast<uint32_t>(locals_.size()));
  if (added) {
    if (locals_.size() > kTooManyLocals) {
      throw Error("the grammar is too ambiguous: tokens can be read in too many ways", "constraint",
                  "rewrite the rules so that fewer of them fit the same text");
    }
    const Stepper::Closure& closure = stepper_.close(store_, stacks);
    bool on = false;
    for (const StackStore::Item& item : closure.items) {
      for (size_t c = 0; c < automata_.classes() && !on; ++c) on = automata_.next(item.node, c) != kNone;
    }
    locals_.push_back({stacks, closure.has_empty, !on});
    rows_.resize(rows_.size() + automata_.classes(), kUnknown);
  }
  return it->second;
}

uint32_t TokenMasks::compute_next(uint32_t from, size_t byte_class) {
  const uint32_t to = local(stepper_.step(store_, locals_[from].stacks, byte_class));
  rows_[from * automata_.classes() + byte_class] = to;
  return to;
}

TokenMasks::Start TokenMasks::intern(std::vector<uint32_t> nodes) {
  if (nodes.empty()) return nullptr;
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  if (nodes == *roots_) return roots_;
  const auto known = starts_.find(nodes);
  if (known != starts_.end()) return known->second;
  auto made = std::make_shared<const std::vector<uint32_t>>(nodes);
  held_ += static_cast<int64_t>(nodes.size() * 2 * sizeof(uint32_t));
  starts_.emplace(std::move(nodes), made);
  return made;
}

std::shared_ptr<const TokenMasks::Mask> TokenMasks::mask(uint32_t node, const Start& start) {
  const std::lock_guard lock(mutex_);
  const std::pair<uint32_t, const void*> key(node, start.get());
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second.mask;
  if (locals_.size() > kMostLocals || store_.size() > kMostLocals) reset();
  if (held_ > kMostHeld) {
    known_.clear();
    same_.clear();
    starts_.clear();
    held_ = 0;
  }
  auto made = compute(node, start);
  known_.emplace(key, Known{start, made});
  held_ += static_cast<int64_t>(sizeof(Known) + 64);
  return made;
}

std::shared_ptr<const TokenMasks::Mask> TokenMasks::compute(uint32_t node, const Start& start) {
  const TokenTrie& trie = *trie_;
  const auto nodes = trie.nodes();
  auto mask = std::make_shared<Mask>();
  std::vector<uint32_t> exits;
  const bool exits_count = automata_.ends_matter(node);
  const uint32_t first = local(store_.single(node, kEmptyStack));
  // Tokens that a run accepts need no walk: whatever else they could be read as, and whatever exits are passed below
  // them, adds no other tokens.
  PlainRun run = start == roots_ ? plain_runs_[node] : PlainRun{};
  if (run.length < trie.most_characters() && run.length > TokenTrie::kCountedCharacters) {
    run = {TokenTrie::kCountedCharacters, false};
  }

  std::vector<uint32_t> at(TokenTrie::kMaxTokenBytes + 1);  // local by depth
  for (const uint32_t root : *start) {
    if (locals_[first].exits && exits_count && trie.has_children(root)) exits.push_back(root);
    const bool skips = run.length > 0 && root == trie.plain_root();
    if (skips && (run.closed || nodes[root].most_characters <= run.length)) continue;
    at[nodes[root].depth] = first;
    for (uint32_t i = root + 1; i < nodes[root].end;) {
      const TokenTrie::Node& n = nodes[i];
      if (skips && n.most_characters <= run.length) {
        i = n.end;
        continue;
      }
      const uint32_t state = next(at[n.depth - 1u], automata_.class_of[n.byte]);
      if (state == kDead) {
        i = n.end;
        continue;
      }
      at[n.depth] = state;
      const auto tokens = trie.tokens_at(i);
      mask->tokens.insert(mask->tokens.end(), tokens.begin(), tokens.end());
      const Local& local = locals_[state];
      if (local.exits && exits_count && n.end != i + 1) exits.push_back(i);
      i = local.ends ? n.end : i + 1;
    }
  }
  if (run.length > 0 || mask->tokens.size() > trie.words()) {
    if (run.length > 0) mask->bits = trie.plain_tokens(run.length);
    mask->bits.resize(trie.words());
    for (const uint32_t token : mask->tokens) mask->bits[token / 64] |= uint64_t{1} << (token % 64);
    mask->tokens = {};
  }
  mask->tokens.shrink_to_fit();
  mask->exits = intern(std::move(exits));

  uint64_t hash = reinterpret_cast<uintptr_t>(mask->exits.get());
  const auto mix = [&](uint64_t value) { hash = (hash ^ value) * 0x9e3779b97f4a7c15u, hash ^= hash >> 32; };
  for (const uint64_t word : mask->bits) mix(word);
  for (const uint32_t token : mask->tokens) mix(token);
  const auto [from, to] = same_.equal_range(hash);
  for (auto it = from; it != to; ++it) {
    const Mask& other = *it->second;
    if (other.exits == mask->exits && other.bits == mask->bits && other.tokens == mask->tokens) return it->second;
  }
  same_.emplace(hash, mask);
  held_ += static_cast<int64_t>(mask->bits.size() * 8 + mask->tokens.size() * 4 + sizeof(Mask));
  return mask;
}

int64_t TokenMasks::memory() const {
  const std::lock_guard lock(mutex_);
  return held_ +
         static_cast<int64_t>(rows_.capacity() * sizeof(uint32_t) + automata_.table.capacity() * sizeof(uint32_t));
}

}  // namespace mica::constraint_detail
