#include "mica/tokenizers/added_vocabulary.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mica/tokenizers/unicode.h"
#include "mica/tokenizers/utf8.h"

namespace mica {

PatternMatcher::PatternMatcher(const std::vector<std::string>& patterns) {
  lengths_.reserve(patterns.size());
  for (size_t i = 0; i < patterns.size(); ++i) {
    const std::string& pattern = patterns[i];
    lengths_.push_back(pattern.size());
    if (pattern.empty()) continue;
    if (nodes_.empty()) nodes_.emplace_back();
    uint32_t node = 0;
    for (const char c : pattern) {
      const auto byte = static_cast<unsigned char>(c);
      auto& children = nodes_[node].children;
      const auto at = std::lower_bound(children.begin(), children.end(), std::pair{byte, uint32_t{0}});
      if (at != children.end() && at->first == byte) {
        node = at->second;
      } else {
        const auto made = static_cast<uint32_t>(nodes_.size());
        children.insert(at, {byte, made});
        const uint32_t depth = nodes_[node].depth + 1;
        nodes_.emplace_back().depth = depth;
        node = made;
      }
    }
    if (nodes_[node].pattern < 0) nodes_[node].pattern = static_cast<int32_t>(i);
  }
  if (nodes_.empty()) return;
  // Breadth first: the suffix of a child is the child of the suffix.
  std::vector<uint32_t> queue = {0};
  for (size_t q = 0; q < queue.size(); ++q) {
    const uint32_t node = queue[q];
    nodes_[node].longest = nodes_[node].pattern >= 0 ? nodes_[node].pattern : nodes_[nodes_[node].suffix].longest;
    for (const auto& [byte, next] : nodes_[node].children) {
      uint32_t suffix = node;
      uint32_t found = 0;
      while (suffix != 0 && found == 0) {
        suffix = nodes_[suffix].suffix;
        found = child(suffix, byte);
      }
      nodes_[next].suffix = found;
      queue.push_back(next);
    }
  }
  for (const auto& [byte, next] : nodes_[0].children) starts_[byte] = true;
  if (nodes_[0].children.size() == 1) single_start_ = nodes_[0].children.front().first;
}

uint32_t PatternMatcher::child(uint32_t node, unsigned char byte) const {
  const auto& children = nodes_[node].children;
  const auto at = std::lower_bound(children.begin(), children.end(), std::pair{byte, uint32_t{0}});
  return at != children.end() && at->first == byte ? at->second : 0;
}

std::optional<PatternMatcher::Match> PatternMatcher::find(std::string_view text, size_t from) const {
  if (nodes_.empty()) return std::nullopt;
  std::optional<Match> best;
  uint32_t node = 0;
  size_t i = from;
  while (i < text.size()) {
    if (node == 0) {
      if (best) return best;
      if (single_start_ >= 0) {
        const void* hit = std::memchr(text.data() + i, single_start_, text.size() - i);
        if (hit == nullptr) return std::nullopt;
        i = static_cast<size_t>(static_cast<const char*>(hit) - text.data());
      } else {
        while (i < text.size() && !starts_[static_cast<unsigned char>(text[i])]) ++i;
        if (i == text.size()) return std::nullopt;
      }
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    uint32_t next = child(node, byte);
    while (next == 0 && node != 0) {
      node = nodes_[node].suffix;
      next = child(node, byte);
    }
    node = next;
    ++i;
    // What is still being matched starts at i - depth: once that lies behind the best match's start, it cannot win.
    if (best && i - nodes_[node].depth > best->begin) return best;
    if (nodes_[node].longest >= 0) {
      const auto pattern = static_cast<size_t>(nodes_[node].longest);
      const size_t begin = i - lengths_[pattern];
      if (!best || begin <= best->begin) best = Match{begin, i, pattern};
    }
  }
  return best;
}

int64_t AddedVocabulary::add(const std::vector<AddedToken>& tokens, const Vocabulary& vocabulary) {
  int64_t added = 0;
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    const auto known = find(token.content);
    if (known) {
      const auto same = by_id_.find(*known);
      if (same != by_id_.end() && same->second == token) continue;
    }
    int32_t id = 0;
    if (known) {
      id = *known;
    } else if (const auto in_model = vocabulary.find(token.content)) {
      id = *in_model;
    } else {
      int64_t next = vocabulary.size();
      if (!by_id_.empty() && (by_id_.rbegin()->first >= next || next == 0)) next = by_id_.rbegin()->first + int64_t{1};
      id = static_cast<int32_t>(next);
    }
    if (ids_.insert_or_assign(token.content, id).second) order_.push_back(id);
    by_id_.insert_or_assign(id, token);
    if (token.special) special_.insert(token.content);
    if (flags_.size() <= static_cast<size_t>(id)) flags_.resize(static_cast<size_t>(id) + 1, 0);
    flags_[static_cast<size_t>(id)] = kAdded;
    texts_[id] = token.content;
    ++added;
  }
  return added;
}

void AddedVocabulary::build(const Normalizer* normalizer) {
  std::vector<std::string> raw, normalized;
  raw_ids_.clear();
  normalized_ids_.clear();
  const auto place = [&](int32_t id, const AddedToken& token) {
    if (!token.normalized) {
      raw.push_back(token.content);
      raw_ids_.push_back(id);
      return;
    }
    NormalizedText content;
    content.assign(token.content, 0);
    if (normalizer != nullptr) normalizer->normalize(content);
    normalized.push_back(content.text());
    normalized_ids_.push_back(id);
    texts_[id] = content.text();
  };
  for (const bool special : {true, false}) {
    for (const int32_t id : order_) {
      const AddedToken& token = by_id_.at(id);
      if (is_special(token.content) == special) place(id, token);
    }
  }
  for (const auto& [id, text] : texts_) flags_[static_cast<size_t>(id)] = is_special(text) ? kAdded | kSpecial : kAdded;
  raw_ = PatternMatcher(raw);
  normalized_ = PatternMatcher(normalized);
}

namespace {

bool word_before(std::string_view text, size_t at) {
  if (at == 0) return false;
  const char* p = text.data() + utf8::last_start(text, at);
  return unicode::has(utf8::next(p), unicode::kWord);
}

bool word_at(std::string_view text, size_t at) {
  if (at >= text.size()) return false;
  const char* p = text.data() + at;
  return unicode::has(utf8::next(p), unicode::kWord);
}

size_t spaces_before(std::string_view text, size_t at, size_t low) {
  while (at > low) {
    const size_t start = utf8::last_start(text, at);
    const char* p = text.data() + start;
    if (!unicode::has(utf8::next(p), unicode::kWhitespace)) break;
    at = start;
  }
  return at;
}

size_t spaces_after(std::string_view text, size_t at) {
  while (at < text.size()) {
    const char* p = text.data() + at;
    if (!unicode::has(utf8::next(p), unicode::kWhitespace)) break;
    at = static_cast<size_t>(p - text.data());
  }
  return at;
}

}  // namespace

bool AddedVocabulary::split(std::string_view text, bool raw, bool skip_special, std::vector<Piece>& pieces) const {
  const PatternMatcher& matcher = raw ? raw_ : normalized_;
  const std::vector<int32_t>& ids = raw ? raw_ids_ : normalized_ids_;
  pieces.clear();
  size_t done = 0;
  const auto push = [&](size_t begin, size_t end, int32_t id) {
    pieces.push_back({{static_cast<uint32_t>(begin), static_cast<uint32_t>(end)}, id});
  };
  for (auto match = matcher.find(text, 0); match; match = matcher.find(text, match->end)) {
    const int32_t id = ids[match->pattern];
    const AddedToken& token = by_id_.at(id);
    if (skip_special && is_special(token.content)) continue;
    if (token.single_word && (word_before(text, match->begin) || word_at(text, match->end))) continue;
    // White space goes to the token on its left first. A match inside what rstrip took starts there all the same,
    // unless it takes the space before it itself: then it leaves that to the other, and is none if nothing is left.
    const size_t end = token.rstrip ? spaces_after(text, match->end) : match->end;
    size_t begin = match->begin;
    if (token.lstrip) begin = std::min(std::max(done, spaces_before(text, begin, std::min(done, begin))), end);
    if (done < begin) push(done, begin, -1);
    if (begin < end) push(begin, end, id);
    done = end;
  }
  if (pieces.empty()) return false;
  if (done < text.size()) push(done, text.size(), -1);
  return true;
}

std::optional<int32_t> AddedVocabulary::find(std::string_view token) const {
  const auto it = ids_.find(std::string(token));
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

const AddedToken* AddedVocabulary::token(int32_t id) const {
  return is_added(id) ? &by_id_.at(id) : nullptr;
}

}  // namespace mica
