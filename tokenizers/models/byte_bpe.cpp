#include "mica/tokenizers/models/byte_bpe.h"

#include "mica/tokenizers/byte_level.h"

namespace mica {

std::unique_ptr<const ByteBpe> ByteBpe::make(const Bpe& model) {
  const Bpe::Settings& options = model.options();
  if (!options.continuing_subword_prefix.value_or("").empty() || !options.end_of_word_suffix.value_or("").empty() ||
      options.drops()) {
    return nullptr;
  }
  std::unique_ptr<ByteBpe> made(new ByteBpe(model));
  if (!made->find_bytes() || !made->find_splits()) return nullptr;
  made->build_trie();
  return made;
}

// The bytes of every token; false where a byte has no token.
bool ByteBpe::find_bytes() {
  const Vocabulary& vocabulary = model_->vocabulary();
  tokens_.resize(static_cast<size_t>(vocabulary.id_bound()));
  begins_.resize(tokens_.size());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    begins_[i] = static_cast<uint32_t>(text_.size());
    byte_level::unspell(vocabulary.token(static_cast<int32_t>(i)), text_);
    tokens_[i].length = static_cast<uint32_t>(text_.size()) - begins_[i];
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string spelled;
    const char c = static_cast<char>(byte);
    byte_level::spell({&c, 1}, spelled);
    const auto id = vocabulary.find(spelled);
    if (!id) return false;
    tokens_[static_cast<size_t>(*id)].rank = 0;
  }
  return true;
}

// How each token is made. False when a token is used by a join that comes before the one that makes it.
bool ByteBpe::find_splits() {
  std::vector<bool> missed(tokens_.size());  // was needed before it was made
  const auto& merges = model_->merges();
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto [left, right] = merges[i];
    const uint32_t rank = model_->rank(i);
    Token& left_token = tokens_[static_cast<size_t>(left)];
    Token& right_token = tokens_[static_cast<size_t>(right)];
    const int32_t made = model_->made()[rank];
    Token& token = tokens_[static_cast<size_t>(made)];
    if (left_token.length == 0 || right_token.length == 0) return false;  // joins what no bytes spell
    if (left_token.rank == kUnmade || right_token.rank == kUnmade) {
      if (left_token.rank == kUnmade) missed[static_cast<size_t>(left)] = true;
      if (right_token.rank == kUnmade) missed[static_cast<size_t>(right)] = true;
      continue;
    }
    if (token.rank != kUnmade || !go_together(left, right, rank + 1)) continue;
    if (model_->pairs().find(left, right) != rank) continue;  // a later merge of the same pair counts
    if (missed[static_cast<size_t>(made)]) return false;
    token.left = left;
    token.right = right;
    token.rank = rank + 1;
  }
  return true;
}

void ByteBpe::build_trie() {
  std::vector<PieceTrie::Piece> pieces;
  pieces.reserve(tokens_.size());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (tokens_[i].rank != kUnmade) {
      pieces.push_back({text(id), id});
    } else if (tokens_[i].length > 0 && model_->options().ignore_merges) {
      whole_.emplace(text(id), id);
    }
  }
  trie_ = std::make_unique<const PieceTrie>(std::move(pieces));
  shorter_ = std::make_unique<std::atomic<int32_t>[]>(tokens_.size());
}

// Whether no pair at the border of two made tokens is joined by a rank + 1 below `limit`.
bool ByteBpe::go_together(int32_t left, int32_t right, uint32_t limit) const {
  const PairTable& pairs = model_->pairs();
  for (;;) {
    const uint32_t rank = pairs.find(left, right);
    if (rank != PairTable::kNone && rank + 1 < limit) return false;
    const Token& a = tokens_[static_cast<size_t>(left)];
    const Token& b = tokens_[static_cast<size_t>(right)];
    // Of equal ranks the left one was joined first; a pair at the border lies between the two.
    if (a.rank > b.rank) {
      limit = a.rank;
      left = a.right;
    } else {
      if (b.rank == 0) return true;
      limit = b.rank + 1;
      right = b.left;
    }
  }
}

bool ByteBpe::go_together(int32_t left, int32_t right, Memory& memory) const {
  const uint64_t key = static_cast<uint64_t>(left) << 32 | static_cast<uint64_t>(right) << 2 | 2;
  uint64_t& verdict = memory.verdicts_[key * 0x9e3779b97f4a7c15u >> 49];
  if ((verdict & ~uint64_t{1}) != key) verdict = key | (go_together(left, right, kUnmade) ? 1 : 0);
  return (verdict & 1) != 0;
}

// The longest token that `match` begins with, but for itself. Looked up once (0: not yet; else its id + 2, or 1: none).
PieceTrie::Match ByteBpe::shorter(PieceTrie::Match match) const {
  std::atomic<int32_t>& known = shorter_[static_cast<size_t>(match.id)];
  int32_t value = known.load(std::memory_order_relaxed);
  if (value == 0) {
    const PieceTrie::Match found = trie_->longest(text(match.id).substr(0, match.length - 1), false);
    value = found.length == 0 ? 1 : found.id + 2;
    known.store(value, std::memory_order_relaxed);
  }
  if (value == 1) return {};
  return {value - 2, length(value - 2)};
}

void ByteBpe::encode(std::string_view word, Memory& memory, std::vector<int32_t>& ids) const {
  if (!whole_.empty()) {
    if (const auto it = whole_.find(word); it != whole_.end()) {
      ids.push_back(it->second);
      return;
    }
  }
  const size_t first = ids.size();
  const auto size = word.size();
  bool searched = false;
  const auto is_dead = [&](size_t at) { return searched && (memory.dead_[at >> 6] >> (at & 63) & 1) != 0; };
  size_t at = 0;
  PieceTrie::Match match = trie_->longest(word, false);
  while (at < size) {
    if (match.length > 0) {
      const size_t next = at + match.length;
      if (!is_dead(next) && (ids.size() == first || go_together(ids.back(), match.id, memory))) {
        ids.push_back(match.id);
        at = next;
        match = trie_->longest(word.substr(at), false);
      } else {
        match = shorter(match);
      }
      continue;
    }
    if (!searched) {
      memory.dead_.assign((size >> 6) + 1, 0);
      searched = true;
    }
    memory.dead_[at >> 6] |= uint64_t{1} << (at & 63);
    const int32_t last = ids.back();
    ids.pop_back();
    at -= length(last);
    match = shorter({last, length(last)});
  }
}

}  // namespace mica
