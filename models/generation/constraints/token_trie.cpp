#include "mica/models/generation/constraints/token_trie.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/utf8.h"

namespace mica::constraint_detail {
namespace {

bool is_plain(std::string_view text) {
  for (const char c : text) {
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20) return false;
  }
  return utf8::is_valid(text);
}

}  // namespace

TokenTrie::TokenTrie(std::vector<std::string> texts, std::vector<int64_t> end_tokens)
    : texts_(std::move(texts)), end_tokens_(std::move(end_tokens)) {
  if (texts_.size() > 0x7fffffff) throw Error("too many tokens", "vocabulary", "give fewer than 2^31");
  std::sort(end_tokens_.begin(), end_tokens_.end());
  end_tokens_.erase(std::unique(end_tokens_.begin(), end_tokens_.end()), end_tokens_.end());
  for (const int64_t token : end_tokens_) {
    if (token < 0 || token >= static_cast<int64_t>(texts_.size())) {
      throw Error("end token " + std::to_string(token) + " is not in the vocabulary", "vocabulary",
                  "give a token from 0 to " + std::to_string(static_cast<int64_t>(texts_.size()) - 1));
    }
    texts_[static_cast<size_t>(token)].clear();  // ends the text, and is no part of it
  }
  std::vector<uint32_t> plain, other;
  for (uint32_t token = 0; token < texts_.size(); ++token) {
    const std::string& text = texts_[token];
    if (text.empty()) continue;
    if (text.size() > kMaxTokenBytes) {
      throw Error("token " + std::to_string(token) + " has " + std::to_string(text.size()) + " bytes", "vocabulary",
                  "leave its text empty: tokens of at most " + std::to_string(kMaxTokenBytes) + " bytes can be walked");
    }
    (is_plain(text) ? plain : other).push_back(token);
  }
  plain_.assign(kCountedCharacters + 2, std::vector<uint64_t>(words()));
  for (const uint32_t token : plain) {
    const size_t count = utf8::count(texts_[token]);
    for (size_t most = count; most < plain_.size(); ++most) plain_[most][token / 64] |= uint64_t{1} << (token % 64);
    if (count >= plain_.size()) plain_.back()[token / 64] |= uint64_t{1} << (token % 64);
  }
  add(std::move(plain));
  other_root_ = static_cast<uint32_t>(nodes_.size());
  add(std::move(other));
  nodes_.push_back({.first_token = static_cast<uint32_t>(order_.size())});
}

void TokenTrie::add(std::vector<uint32_t> tokens) {
  std::sort(tokens.begin(), tokens.end(),
            [&](uint32_t a, uint32_t b) { return texts_[a] != texts_[b] ? texts_[a] < texts_[b] : a < b; });
  std::vector<uint32_t> path{static_cast<uint32_t>(nodes_.size())};  // nodes of the last token's text
  nodes_.push_back({.first_token = static_cast<uint32_t>(order_.size())});
  const auto close = [&](size_t depth) {
    for (; path.size() > depth + 1; path.pop_back()) nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
  };
  std::string_view before;
  for (const uint32_t token : tokens) {
    const std::string_view now = texts_[token];
    const auto same =
        static_cast<size_t>(std::mismatch(before.begin(), before.end(), now.begin(), now.end()).first - before.begin());
    close(same);
    for (size_t i = same; i < now.size(); ++i) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({.first_token = static_cast<uint32_t>(order_.size()),
                        .depth = static_cast<uint16_t>(i + 1),
                        .byte = static_cast<uint8_t>(now[i])});
    }
    order_.push_back(token);
    const auto characters = static_cast<uint16_t>(utf8::count(now));
    for (const uint32_t node : path) {
      nodes_[node].most_characters = std::max(nodes_[node].most_characters, characters);
    }
    before = now;
  }
  close(0);
  nodes_[path[0]].end = static_cast<uint32_t>(nodes_.size());
}

const std::vector<uint64_t>& TokenTrie::plain_tokens(size_t most) const {
  return most >= most_characters() ? plain_.back() : plain_[std::min(most, kCountedCharacters)];
}

bool TokenTrie::is_end(int64_t token) const {
  return std::binary_search(end_tokens_.begin(), end_tokens_.end(), token);
}

int64_t TokenTrie::memory() const {
  size_t bytes = nodes_.capacity() * sizeof(Node) + order_.capacity() * sizeof(uint32_t);
  for (const auto& bits : plain_) bytes += bits.capacity() * sizeof(uint64_t);
  for (const std::string& text : texts_) {
    bytes += sizeof(std::string) + (text.capacity() > 15 ? text.capacity() + 1 : 0);
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace mica::constraint_detail
