#include "mica/models/generation/constraints/matcher.h"

#include <algorithm>
#include <string>
#include <utility>

#include "mica/base/error.h"

namespace mica::constraint_detail {

Matcher::Matcher(std::shared_ptr<TokenMasks> masks)
    : masks_(std::move(masks)), stepper_(masks_->automata()), bits_(masks_->trie().words()) {
  settle(store_.single(masks_->automata().rules[0].start, kEmptyStack));
}

void Matcher::settle(StackId state) {
  state_ = state;
  if (store_.size() > tidy_at_) {
    state_ = store_.keep_only(state_);
    tidy_at_ = std::max<size_t>(4096, 2 * store_.size());
  }
  const Automata& automata = masks_->automata();
  const Stepper::Closure& closure = stepper_.close(store_, state_);
  may_end_ = closure.has_empty;
  may_go_on_ = std::any_of(closure.items.begin(), closure.items.end(), [&](const StackStore::Item& item) {
    for (size_t c = 0; c < automata.classes(); ++c) {
      if (automata.next(item.node, c) != Automata::kNone) return true;
    }
    return false;
  });
}

// A token whose bytes leave the node's rule goes on at those that called it.
void Matcher::collect(uint32_t node, StackId below, const TokenMasks::Start& start, std::set<Visit>& visited) {
  if (!visited.emplace(node, below, start.get()).second) return;
  const auto mask = masks_->mask(node, start);
  for (size_t i = 0; i < mask->bits.size(); ++i) bits_[i] |= mask->bits[i];
  for (const uint32_t token : mask->tokens) bits_[token / 64] |= uint64_t{1} << (token % 64);
  if (!mask->exits) return;
  for (const StackStore::Item& item : store_.items(below)) collect(item.node, item.below, mask->exits, visited);
}

void Matcher::mask(std::span<uint64_t> allowed_bits) {
  std::fill(bits_.begin(), bits_.end(), 0);
  if (!ended_) {
    std::set<Visit> visited;
    for (const StackStore::Item& item : store_.items(state_)) collect(item.node, item.below, masks_->roots(), visited);
  }
  const TokenTrie& trie = masks_->trie();
  if (may_end_) {
    for (const int64_t token : trie.end_tokens()) bits_[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
  }
  const size_t words = std::min(bits_.size(), allowed_bits.size());
  if (std::all_of(bits_.begin(), bits_.begin() + static_cast<std::ptrdiff_t>(words),
                  [](uint64_t w) { return w == 0; })) {
    if (finished()) {
      throw Error("the text is whole, and the vocabulary has no end token", "constraint",
                  "stop when finished() says so, or name an end token");
    }
    throw Error("no token of the vocabulary goes on here: " + expected() + " must follow", "constraint",
                "use a vocabulary that spells every byte, or a constraint that its tokens can spell");
  }
  for (size_t i = 0; i < words; ++i) allowed_bits[i] &= bits_[i];
  for (size_t i = words; i < allowed_bits.size(); ++i) allowed_bits[i] = 0;
}

std::string Matcher::expected() {
  const Automata& automata = masks_->automata();
  const Stepper::Closure& closure = stepper_.close(store_, state_);
  std::string bytes;
  for (size_t c = 0; c < automata.classes(); ++c) {
    for (const StackStore::Item& item : closure.items) {
      if (automata.next(item.node, c) == Automata::kNone) continue;
      bytes += static_cast<char>(automata.byte_of[c]);
      break;
    }
  }
  return bytes.empty() ? "nothing" : "one of the bytes \"" + printable(bytes, 60) + "\"";
}

void Matcher::advance(int64_t token) {
  const TokenTrie& trie = masks_->trie();
  const auto refuse = [&](const std::string& why) {
    throw Error("token " + std::to_string(token) + " " + why, "constraint", "choose one that mask() allows");
  };
  if (token < 0 || token >= static_cast<int64_t>(trie.size())) refuse("is not in the vocabulary");
  if (trie.is_end(token)) {
    if (!may_end_) refuse("ends a text that is not whole");
    ended_ = true;
    return;
  }
  const std::string_view text = trie.text(token);
  if (ended_) refuse("comes after the end");
  if (text.empty()) refuse("has no text");
  StackId state = state_;
  for (const char c : text) {
    state = stepper_.step(store_, state, masks_->automata().class_of[static_cast<uint8_t>(c)]);
    if (state == kNoStacks) refuse("(\"" + printable(text, 60) + "\") cannot go on the text");
  }
  settle(state);
}

}  // namespace mica::constraint_detail
