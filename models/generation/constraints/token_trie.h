#pragma once
// The texts of a vocabulary's tokens as a trie of bytes, laid out in the order in which it is walked.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mica::constraint_detail {

/// Two tries: tokens made of plain characters only (plain_text.h), and the others.
class TokenTrie {
 public:
  struct Node {
    uint32_t end = 0;              // behind the last node below this one: skipping a part of the trie is one jump
    uint32_t first_token = 0;      // those of this node are tokens()[first_token] up to the next node's
    uint16_t depth = 0;            // bytes from the root
    uint16_t most_characters = 0;  // plain trie: of the tokens at or below this node, from the root
    uint8_t byte = 0;
  };
  static constexpr size_t kMaxTokenBytes = 4096;
  static constexpr size_t kCountedCharacters = 32;

  /// The texts by token; tokens with an empty one never fit a text. Throws Error for an end token that is none.
  TokenTrie(std::vector<std::string> texts, std::vector<int64_t> end_tokens);

  std::span<const Node> nodes() const { return {nodes_.data(), nodes_.size() - 1}; }
  uint32_t plain_root() const { return 0; }
  uint32_t other_root() const { return other_root_; }
  std::span<const uint32_t> tokens_at(uint32_t node) const {
    return {order_.data() + nodes_[node].first_token, nodes_[node + 1].first_token - nodes_[node].first_token};
  }
  bool has_children(uint32_t node) const { return nodes_[node].end != node + 1; }

  /// Bits of the plain tokens of at most this many characters; the count is at most kCountedCharacters, or at least
  /// most_characters() for all of them.
  const std::vector<uint64_t>& plain_tokens(size_t most) const;
  size_t most_characters() const { return nodes_[0].most_characters; }

  size_t size() const { return texts_.size(); }
  size_t words() const { return (texts_.size() + 63) / 64; }
  std::string_view text(int64_t token) const { return texts_[static_cast<size_t>(token)]; }
  std::span<const int64_t> end_tokens() const { return end_tokens_; }
  bool is_end(int64_t token) const;
  int64_t memory() const;

 private:
  void add(std::vector<uint32_t> tokens);

  std::vector<std::string> texts_;
  std::vector<int64_t> end_tokens_;
  std::vector<Node> nodes_;  // and one behind the last
  std::vector<uint32_t> order_;
  uint32_t other_root_ = 0;
  std::vector<std::vector<uint64_t>> plain_;  // by count; the last: all
};

}  // namespace mica::constraint_detail
