#include "mica/tokenizers/models/byte_bpe.h"

#include <algorithm>
#include <bit>

#include "mica/tokenizers/byte_level.h"
#include "mica/tokenizers/utf8.h"

namespace mica {

std::unique_ptr<const ByteBpe> ByteBpe::make(const Bpe& model, ImageReader* image) {
  const Bpe::Settings& options = model.options();
  if (!options.continuing_subword_prefix.value_or("").empty() || !options.end_of_word_suffix.value_or("").empty() ||
      options.drops()) {
    return nullptr;
  }
  std::unique_ptr<ByteBpe> made(new ByteBpe(model));
  if (image != nullptr) {
    made->read(*image);
    return made;
  }
  if (!made->find_bytes()) return nullptr;
  made->build_trie();
  made->find_neighbours();
  return made;
}

void ByteBpe::write(ImageWriter& image) const {
  image.add(byte_ids_);
  image.add(byte_pairs_);
  image.add(neighbours_);
  image.add(partial_);
  image.add_value(int64_t{neighbours_shift_});
  image.add(tokens_);
  image.add(begins_);
  image.add(text_);
  trie_->write(image);
}

void ByteBpe::read(ImageReader& image) {
  byte_ids_ = image.take<int32_t>();
  byte_pairs_ = image.take<uint32_t>();
  neighbours_ = image.take<uint64_t>();
  partial_ = image.take<uint64_t>();
  neighbours_shift_ = static_cast<int>(image.take_value<int64_t>());
  tokens_ = image.take<Token>();
  begins_ = image.take<uint32_t>();
  text_ = image.take<char>();
  trie_ = std::make_unique<const PieceTrie>(image);
  find_whole();
}

// The bytes of every token; false where a byte has no token.
bool ByteBpe::find_bytes() {
  const Vocabulary& vocabulary = model_->vocabulary();
  std::vector<Token> tokens(static_cast<size_t>(vocabulary.id_bound()));
  std::vector<uint32_t> begins(tokens.size());
  std::vector<int32_t> byte_ids(256);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    begins[i] = static_cast<uint32_t>(text.size());
    byte_level::unspell(vocabulary.token(static_cast<int32_t>(i)), text);
    tokens[i].length = static_cast<uint32_t>(text.size()) - begins[i];
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string spelled;
    const char c = static_cast<char>(byte);
    byte_level::spell({&c, 1}, spelled);
    const auto id = vocabulary.find(spelled);
    if (!id) return false;
    tokens[static_cast<size_t>(*id)].rank = 0;
    byte_ids[byte] = *id;
  }
  begins_ = Table<uint32_t>(std::move(begins));
  byte_ids_ = Table<int32_t>(std::move(byte_ids));
  text_ = Table<char>(std::vector<char>(text.begin(), text.end()));
  return find_splits(std::move(tokens));
}

// How each token is made. False when a token is used by a join that comes before the one that makes it.
bool ByteBpe::find_splits(std::vector<Token> tokens) {
  std::vector<bool> missed(tokens.size());  // was needed before it was made
  const auto& merges = model_->merges();
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto [left, right] = merges[i];
    const uint32_t rank = model_->rank(i);
    Token& left_token = tokens[static_cast<size_t>(left)];
    Token& right_token = tokens[static_cast<size_t>(right)];
    const int32_t made = model_->made()[rank];
    Token& token = tokens[static_cast<size_t>(made)];
    if (left_token.length == 0 || right_token.length == 0) return false;  // joins what no bytes spell
    if (left_token.rank == kUnmade || right_token.rank == kUnmade) {
      if (left_token.rank == kUnmade) missed[static_cast<size_t>(left)] = true;
      if (right_token.rank == kUnmade) missed[static_cast<size_t>(right)] = true;
      continue;
    }
    if (token.rank != kUnmade || !go_together(tokens.data(), left, right, rank + 1)) continue;
    if (model_->pairs().find(left, right) != rank) continue;  // a later merge of the same pair counts
    if (missed[static_cast<size_t>(made)]) return false;
    token.left = left;
    token.right = right;
    token.rank = rank + 1;
  }
  tokens_ = Table<Token>(std::move(tokens));
  return true;
}

void ByteBpe::build_trie() {
  std::vector<PieceTrie::Piece> pieces;
  pieces.reserve(tokens_.size());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (tokens_[i].rank != kUnmade) {
      pieces.push_back({text(id), id});
    }
  }
  trie_ = std::make_unique<const PieceTrie>(std::move(pieces));
  find_whole();
}

void ByteBpe::find_whole() {
  shorter_ = std::make_unique<std::atomic<int32_t>[]>(tokens_.size());
  if (!model_->options().ignore_merges) return;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (tokens_[i].rank != kUnmade || tokens_[i].length == 0) continue;
    whole_.emplace(text(id), id);
    cuts_ = cuts_ && std::ranges::all_of(text(id), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  }
}

void ByteBpe::find_neighbours() {
  const PairTable& pairs = model_->pairs();
  std::vector<uint32_t> byte_pairs(size_t{1} << 16);
  for (size_t i = 0; i < byte_pairs.size(); ++i) byte_pairs[i] = pairs.find(byte_ids_[i >> 8], byte_ids_[i & 255]);
  std::vector<uint64_t> partial((size_t{1} << 16) / 64, 0);
  const size_t bits = std::bit_ceil(std::max<size_t>(64, tokens_.size() * 8));
  std::vector<uint64_t> neighbours(bits / 64, 0);
  neighbours_shift_ = 64 - std::countr_zero(bits);
  const auto continues = [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; };
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].rank == kUnmade) continue;
    const std::string_view token = text(static_cast<int32_t>(i));
    for (size_t at = 1; at < token.size(); ++at) {
      if (static_cast<unsigned char>(token[at]) < 0xc0 || static_cast<unsigned char>(token[at - 1]) < 0x80) continue;
      size_t start = at - 1;
      while (start > 0 && continues(token[start])) --start;
      const auto length = [&](size_t from) {
        return static_cast<size_t>(utf8::length(static_cast<unsigned char>(token[from])));
      };
      if (continues(token[start]) || start + length(start) != at || at + length(at) > token.size()) {
        const size_t bytes = bytes_at(token[at - 1], token[at]);
        partial[bytes >> 6] |= uint64_t{1} << (bytes & 63);
        continue;
      }
      const char* left = token.data() + start;
      const char* right = token.data() + at;
      const char32_t first = utf8::next(left);
      const size_t bit = neighbours_bit(first, utf8::next(right));
      neighbours[bit >> 6] |= uint64_t{1} << (bit & 63);
    }
  }
  byte_pairs_ = Table<uint32_t>(std::move(byte_pairs));
  partial_ = Table<uint64_t>(std::move(partial));
  neighbours_ = Table<uint64_t>(std::move(neighbours));
}

size_t ByteBpe::join(std::string_view word, int32_t (&ids)[kShort]) const {
  constexpr int32_t kNever = INT32_MAX;
  const PairTable& pairs = model_->pairs();
  const size_t size = word.size();
  const size_t looked_at = size <= 16 ? 16 : kShort;
  int32_t turns[kShort];  // rank and position of the pair that starts here: the lowest is next
  std::fill_n(turns, looked_at, kNever);
  const auto turn = [](uint32_t rank, size_t at) {
    return rank == PairTable::kNone ? kNever : static_cast<int32_t>(rank << 5 | at);
  };
  static_assert(PairTable::kRankBits + 5 < 31);
  for (size_t i = 0; i < size; ++i) ids[i] = byte_ids_[static_cast<unsigned char>(word[i])];
  for (size_t i = 0; i + 1 < size; ++i) turns[i] = turn(byte_pairs_[bytes_at(word[i], word[i + 1])], i);
  auto starts = static_cast<uint32_t>((uint64_t{1} << size) - 1);  // positions where a token starts, as bits
  for (;;) {
    int32_t best = kNever;
    if (looked_at == 16) {
      for (size_t i = 0; i < 16; ++i) best = std::min(best, turns[i]);
    } else {
      for (size_t i = 0; i < kShort; ++i) best = std::min(best, turns[i]);
    }
    if (best == kNever) break;
    const auto at = static_cast<size_t>(best & 31);
    const uint32_t before = starts & ((uint32_t{1} << at) - 1);
    uint32_t after = starts & ~(before | uint32_t{1} << at);
    const auto right = static_cast<size_t>(std::countr_zero(after));
    starts &= ~(uint32_t{1} << right);
    after &= after - 1;
    turns[right] = kNever;
    ids[at] = model_->made()[static_cast<size_t>(best >> 5)];
    turns[at] = after == 0 ? kNever : turn(pairs.find(ids[at], ids[std::countr_zero(after)]), at);
    if (before != 0) {
      const auto left = static_cast<size_t>(31 - std::countl_zero(before));
      turns[left] = turn(pairs.find(ids[left], ids[at]), left);
    }
  }
  size_t count = 0;
  for (; starts != 0; starts &= starts - 1) ids[count++] = ids[std::countr_zero(starts)];
  return count;
}

// Whether no pair at the border of two made tokens is joined by a rank + 1 below `limit`.
bool ByteBpe::go_together(const Token* tokens, int32_t left, int32_t right, uint32_t limit) const {
  const PairTable& pairs = model_->pairs();
  for (;;) {
    const uint32_t rank = pairs.find(left, right);
    if (rank != PairTable::kNone && rank + 1 < limit) return false;
    const Token& a = tokens[static_cast<size_t>(left)];
    const Token& b = tokens[static_cast<size_t>(right)];
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
  uint64_t& verdict = memory.verdicts_[key * 0x9e3779b97f4a7c15u >> 48];
  if ((verdict & ~uint64_t{1}) != key) verdict = key | (go_together(tokens_.data(), left, right, kUnmade) ? 1 : 0);
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
  // Writing without spaces has tokens of whole characters, few a word: they are found sooner than joined.
  const bool spaceless = static_cast<unsigned char>(word[0]) >= 0xe0 && word.size() > 4;
  if (word.size() <= kShort && !spaceless) {
    int32_t joined[kShort];
    ids.insert(ids.end(), joined, joined + join(word, joined));
    return;
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
