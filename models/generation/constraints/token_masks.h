#pragma once
// Which tokens may follow at a node of a rule, without knowing what lies below it on the stack.
//
// The walk goes down the vocabulary's trie and the automata together. Where a rule ends in the middle of a token, what
// follows depends on the caller: that trie node is an exit. At run time the callers are known, and the walk goes on
// from the exits at the caller's node. As a node together with a set of trie nodes to start from says all that the
// walk depends on, both kinds of walk are remembered, and a mask is mostly a few unions of remembered ones. (Y. Dong
// et al. 2024, "XGrammar", divides tokens alike, into those that the stack decides and the others; the exits here
// replace its run-time checks of single tokens.)
//
// A walk over a vocabulary of 150,000 tokens visits some 350,000 trie nodes, most of them inside free text. Where a
// node accepts any n plain characters (plain_text.h), tokens of up to n are known beforehand and not walked.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "mica/models/generation/constraints/automata.h"
#include "mica/models/generation/constraints/plain_text.h"
#include "mica/models/generation/constraints/stacks.h"
#include "mica/models/generation/constraints/token_trie.h"

namespace mica::constraint_detail {

/// Safe to use from several threads.
class TokenMasks {
 public:
  using Start = std::shared_ptr<const std::vector<uint32_t>>;  // a set of trie nodes; equal ones are the same
  struct Mask {
    std::vector<uint64_t> bits;    // of the tokens, when they are many
    std::vector<uint32_t> tokens;  // else these
    Start exits;                   // null: none
  };

  TokenMasks(std::shared_ptr<const TokenTrie> trie, Automata automata);

  const TokenTrie& trie() const { return *trie_; }
  const Automata& automata() const { return automata_; }

  /// Where whole tokens start.
  const Start& roots() const { return roots_; }
  /// Tokens whose bytes from one of these trie nodes on can follow at `node`.
  std::shared_ptr<const Mask> mask(uint32_t node, const Start& start);
  /// Bytes held by what is remembered.
  int64_t memory() const;

 private:
  // What one byte after another makes of a node above an unknown stack, which is the empty one here.
  struct Local {
    StackId stacks = kNoStacks;
    bool exits = false;  // the node's rule may end here
    bool ends = false;   // ... and cannot go on
  };
  static constexpr uint32_t kUnknown = 0xffffffff;

  void reset();
  uint32_t local(StackId stacks);
  uint32_t next(uint32_t local, size_t byte_class) {
    const uint32_t known = rows_[local * automata_.classes() + byte_class];
    return known != kUnknown ? known : compute_next(local, byte_class);
  }
  uint32_t compute_next(uint32_t local, size_t byte_class);
  std::shared_ptr<const Mask> compute(uint32_t node, const Start& start);
  Start intern(std::vector<uint32_t> nodes);

  std::shared_ptr<const TokenTrie> trie_;
  const Automata automata_;
  const std::vector<PlainRun> plain_runs_;

  mutable std::mutex mutex_;
  Stepper stepper_;
  StackStore store_;
  std::vector<Local> locals_;
  std::vector<uint32_t> rows_;  // [local, class]
  std::unordered_map<StackId, uint32_t> local_of_;
  Start roots_;
  // What is remembered: forgotten all at once when it becomes too much. A key's start lives as long as the key.
  struct Known {
    Start start;
    std::shared_ptr<const Mask> mask;
  };
  std::map<std::pair<uint32_t, const void*>, Known> known_;  // by node and start
  std::map<std::vector<uint32_t>, Start> starts_;
  std::unordered_multimap<uint64_t, std::shared_ptr<const Mask>> same_;
  int64_t held_ = 0;  // bytes of what is remembered
};

}  // namespace mica::constraint_detail
