#include "mica/tokenizers/models/bpe.h"

#include <algorithm>
#include <array>
#include <queue>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr size_t kFew = 64;  // symbols, below which looking at all pairs beats a heap
constexpr char32_t kSmall = 0x180;

// A pair waiting to be joined; the lowest rank first, then the leftmost.
struct Candidate {
  uint32_t rank, position;
  friend bool operator>(const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  }
};

// Uniform in [0, 1) (S. Vigna's splitmix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0xd1342543de82ef95u) {}
  double next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ z >> 31) >> 11) * 0x1p-53;
  }

 private:
  uint64_t state_;
};

std::string byte_token(unsigned byte) {
  constexpr char digits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
}

int32_t need(const Vocabulary& vocabulary, std::string_view token, size_t merge, const std::string& file) {
  const auto id = vocabulary.find(token);
  if (!id) {
    throw Error("merge " + std::to_string(merge) + " needs the token \"" + printable(token, 60) +
                    "\", which the vocabulary lacks",
                printable(file, 400), "add the token to the vocabulary, or remove the merge");
  }
  return *id;
}

}  // namespace

Bpe::Bpe(std::shared_ptr<const Vocabulary> vocabulary, Settings settings)
    : vocabulary_(std::move(vocabulary)), settings_(std::move(settings)) {
  if (settings_.unk_token) unk_id_ = vocabulary_->find(*settings_.unk_token);
  if (settings_.byte_fallback) {
    for (unsigned byte = 0; byte < 256; ++byte) {
      byte_ids_.push_back(vocabulary_->find(byte_token(byte)).value_or(-1));
    }
  }
  if (settings_.continuing_subword_prefix.value_or("").empty() && settings_.end_of_word_suffix.value_or("").empty()) {
    for (char32_t c = 0; c < kSmall; ++c) {
      char bytes[4];
      const auto length = static_cast<size_t>(utf8::encode(c, bytes));
      small_ids_.push_back(vocabulary_->find({bytes, length}).value_or(-1));
    }
  }
}

void Bpe::check_size(size_t merges, const std::string& file) const {
  if (vocabulary_->id_bound() > PairTable::kMaxId + 1 || static_cast<int64_t>(merges) > PairTable::kMaxRank) {
    throw Error("BPE is too large: ids up to " + std::to_string(vocabulary_->id_bound() - 1) + ", " +
                    std::to_string(merges) + " merges",
                printable(file, 400),
                "at most " + std::to_string(PairTable::kMaxId + 1) + " ids and " + std::to_string(PairTable::kMaxRank) +
                    " merges are supported");
  }
}

Bpe::Bpe(std::shared_ptr<const Vocabulary> vocabulary, const Merges& merges, Settings settings, const std::string& file)
    : Bpe(std::move(vocabulary), std::move(settings)) {
  check_size(merges.size(), file);
  std::string_view prefix;
  if (settings_.continuing_subword_prefix) prefix = *settings_.continuing_subword_prefix;
  pairs_ = PairTable(merges.size());
  std::vector<int32_t> results;
  std::vector<Pair> pairs;
  results.reserve(merges.size());
  pairs.reserve(merges.size());
  std::string joined;
  int32_t expected = -1;  // most files number their tokens as their merges make them
  for (size_t i = 0; i < merges.size(); ++i) {
    const Pair pair{need(*vocabulary_, merges.left(i), i, file), need(*vocabulary_, merges.right(i), i, file)};
    std::string_view whole = merges.at(i);
    if (!prefix.empty()) {
      const std::string_view right = merges.right(i);
      if (right.substr(0, prefix.size()) != prefix) {
        throw Error("merge " + std::to_string(i) + " has \"" + printable(right, 60) +
                        "\" on its right, which lacks the prefix \"" + printable(prefix, 60) + "\"",
                    printable(file, 400), "remove the merge, or change continuing_subword_prefix");
      }
      joined.assign(merges.left(i)).append(right.substr(prefix.size()));
      whole = joined;
    }
    const int32_t made =
        vocabulary_->token(expected) == whole && !whole.empty() ? expected : need(*vocabulary_, whole, i, file);
    expected = made + 1;
    pairs_.insert(pair.left, pair.right, static_cast<uint32_t>(i));
    results.push_back(made);
    pairs.push_back(pair);
  }
  pairs_.finish();
  made_ = Table<int32_t>(std::move(results));
  merges_ = Table<Pair>(std::move(pairs));
}

Bpe::Bpe(std::shared_ptr<const Vocabulary> vocabulary, ImageReader& image, Settings settings)
    : Bpe(std::move(vocabulary), std::move(settings)) {
  pairs_ = PairTable(image);
  made_ = image.take<int32_t>();
  merges_ = image.take<Pair>();
}

bool Bpe::write(ImageWriter& image) const {
  if (ranks_are_ids_) return false;
  pairs_.write(image);
  image.add(made_);
  image.add(merges_);
  return true;
}

std::shared_ptr<const Bpe> Bpe::from_ranks(std::shared_ptr<const Vocabulary> vocabulary, const std::string& file) {
  const std::shared_ptr<Bpe> bpe(new Bpe(std::move(vocabulary), Settings{.ignore_merges = true}));
  const Vocabulary& tokens = *bpe->vocabulary_;
  std::vector<int32_t> made;
  std::vector<Pair> merges;
  for (int64_t i = 0; i < tokens.id_bound(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view token = tokens.token(id);
    const size_t first = merges.size();
    for (size_t cut = 1; cut < token.size(); ++cut) {
      if ((static_cast<unsigned char>(token[cut]) & 0xc0) == 0x80) continue;
      const auto left = tokens.find(token.substr(0, cut));
      const auto right = left ? tokens.find(token.substr(cut)) : std::nullopt;
      if (!right || *left > id || *right > id) continue;
      merges.push_back({*left, *right});
      bpe->joined_.push_back(id);
    }
    // Written out, the merges of one token follow each other in the order of their parts, as converters list them.
    std::sort(merges.begin() + static_cast<std::ptrdiff_t>(first), merges.end(),
              [](const Pair& a, const Pair& b) { return std::pair(a.left, a.right) < std::pair(b.left, b.right); });
    made.push_back(id);
  }
  bpe->check_size(std::max(merges.size(), made.size()), file);
  bpe->ranks_are_ids_ = true;
  bpe->pairs_ = PairTable(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    bpe->pairs_.insert(merges[i].left, merges[i].right, static_cast<uint32_t>(bpe->joined_[i]));
  }
  bpe->pairs_.finish();
  bpe->made_ = Table<int32_t>(std::move(made));
  bpe->merges_ = Table<Pair>(std::move(merges));
  return bpe;
}

// The id of one character as it stands in the word, -1 when there is none; `spelled` is what was looked up.
int32_t Bpe::symbol_id(std::string_view character, bool first, bool last, std::string& spelled) const {
  if (!small_ids_.empty()) {
    const char* p = character.data();
    const char32_t c = utf8::next(p);
    if (c < kSmall) {
      const int32_t id = small_ids_[c];
      if (id < 0) spelled.assign(character);
      return id;
    }
  }
  spelled.clear();
  if (!first && settings_.continuing_subword_prefix) spelled = *settings_.continuing_subword_prefix;
  spelled.append(character);
  if (last && settings_.end_of_word_suffix) spelled += *settings_.end_of_word_suffix;
  return vocabulary_->find(spelled).value_or(-1);
}

void Bpe::find_symbols(std::string_view word, Symbols& symbols) const {
  symbols.clear();
  std::string spelled;
  std::optional<Symbol> unknown;  // waits for the next known character
  for (size_t at = 0; at < word.size();) {
    const auto length = static_cast<uint32_t>(utf8::length(static_cast<unsigned char>(word[at])));
    const size_t end = at + length;
    const int32_t id = symbol_id(word.substr(at, length), at == 0, end == word.size(), spelled);
    at = end;
    if (id >= 0) {
      if (unknown) symbols.push_back(*std::exchange(unknown, std::nullopt));
      symbols.push_back({id, length});
      continue;
    }
    if (settings_.byte_fallback) {
      const auto known = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)] >= 0; };
      if (std::all_of(spelled.begin(), spelled.end(), known)) {
        // An unknown character before it stays behind: the reference puts it after these bytes.
        for (const char c : spelled) symbols.push_back({byte_ids_[static_cast<unsigned char>(c)], 1});
        continue;
      }
    }
    if (!settings_.unk_token) continue;  // such characters vanish
    if (!unk_id_) {
      throw Error("unknown character, and the vocabulary lacks the unknown token \"" +
                      printable(*settings_.unk_token, 60) + "\"",
                  "BPE", "add the unknown token to the vocabulary");
    }
    if (unknown && settings_.fuse_unk) {
      unknown->length += length;
    } else {
      if (unknown) symbols.push_back(*unknown);
      unknown = Symbol{*unk_id_, length};
    }
  }
  if (unknown) symbols.push_back(*unknown);
}

// Joins in place, looking at all pairs for each; returns how many symbols are left.
size_t Bpe::merge_few(Symbol* symbols, size_t count) const {
  std::array<uint32_t, kFew> ranks{};
  const auto rank = [&](size_t i) { return pairs_.find(symbols[i].id, symbols[i + 1].id); };
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = rank(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) best = ranks[i] < ranks[best] ? i : best;
    if (ranks[best] == PairTable::kNone) break;
    symbols[best] = {made_[ranks[best]], symbols[best].length + symbols[best + 1].length};
    std::copy(symbols + best + 2, symbols + count, symbols + best + 1);
    if (best + 2 < count) {
      std::copy(ranks.begin() + static_cast<std::ptrdiff_t>(best) + 2,
                ranks.begin() + static_cast<std::ptrdiff_t>(count),
                ranks.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    --count;
    if (best > 0) ranks[best - 1] = rank(best - 1);
    if (best + 1 < count) ranks[best] = rank(best);
  }
  return count;
}

// The same with a heap of candidates over a linked list, for long words and for dropout.
void Bpe::merge_many(Symbols& symbols) const {
  constexpr uint32_t kEnd = UINT32_MAX;
  const auto count = static_cast<uint32_t>(symbols.size());
  BlockVector<uint32_t> next(count), previous(count);
  for (uint32_t i = 0; i < count; ++i) {
    previous[i] = i == 0 ? kEnd : i - 1;
    next[i] = i + 1 == count ? kEnd : i + 1;
  }
  BlockVector<Candidate> list;
  list.reserve(count);
  const auto rank = [&](uint32_t i) { return pairs_.find(symbols[i].id, symbols[next[i]].id); };
  for (uint32_t i = 0; i + 1 < count; ++i) {
    if (const uint32_t r = rank(i); r != PairTable::kNone) list.push_back({r, i});
  }
  std::priority_queue<Candidate, BlockVector<Candidate>, std::greater<>> heap(std::greater<>(), std::move(list));
  const bool drops = settings_.drops();
  Random random(drops ? dropout_words_.fetch_add(1, std::memory_order_relaxed) : 0);
  std::vector<Candidate> passed_over;
  const auto push = [&](uint32_t i) {
    if (const uint32_t r = rank(i); r != PairTable::kNone) heap.push({r, i});
  };
  while (!heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    if (drops && random.next() < *settings_.dropout) {
      passed_over.push_back(top);
      continue;
    }
    for (const Candidate& candidate : passed_over) heap.push(candidate);
    passed_over.clear();
    const uint32_t i = top.position;
    // The pair may have been joined, or changed, since it was put here.
    if (symbols[i].length == 0 || next[i] == kEnd) continue;
    const uint32_t now = rank(i);
    if (now == PairTable::kNone || made_[now] != made_[top.rank]) continue;
    const uint32_t right = next[i];
    symbols[i] = {made_[top.rank], symbols[i].length + symbols[right].length};
    symbols[right].length = 0;
    next[i] = next[right];
    if (next[i] != kEnd) previous[next[i]] = i;
    if (previous[i] != kEnd) push(previous[i]);
    if (next[i] != kEnd) push(i);
  }
  symbols.erase(std::remove_if(symbols.begin(), symbols.end(), [](const Symbol& s) { return s.length == 0; }),
                symbols.end());
}

void Bpe::tokenize(std::string_view word, std::vector<ModelToken>& out) const {
  if (settings_.ignore_merges && !settings_.drops()) {
    if (const auto id = vocabulary_->find(word)) {
      out.push_back({*id, 0, static_cast<uint32_t>(word.size())});
      return;
    }
  }
  Symbols symbols;
  symbols.reserve(word.size());
  find_symbols(word, symbols);
  if (symbols.size() > kFew || settings_.drops()) {
    merge_many(symbols);
  } else {
    symbols.resize(merge_few(symbols.data(), symbols.size()));
  }
  // Places follow from lengths alone, as in the reference: what vanished before a token moves it to the left, and the
  // bytes of a suffix may reach beyond the word.
  const auto size = static_cast<uint32_t>(word.size());
  uint32_t at = 0;
  for (const Symbol& symbol : symbols) {
    const uint32_t end = at + symbol.length;
    out.push_back({symbol.id, std::min(at, size), std::min(end, size)});
    at = end;
  }
}

Json Bpe::to_json() const {
  const auto optional = [](const std::optional<std::string>& text) { return text ? Json(*text) : Json(nullptr); };
  Json merges = Json::array();
  for (const Pair& pair : merges_) {
    merges.push_back(
        Json::array({std::string(vocabulary_->token(pair.left)), std::string(vocabulary_->token(pair.right))}));
  }
  return {{"type", "BPE"},
          {"dropout", settings_.dropout ? Json(*settings_.dropout) : Json(nullptr)},
          {"unk_token", optional(settings_.unk_token)},
          {"continuing_subword_prefix", optional(settings_.continuing_subword_prefix)},
          {"end_of_word_suffix", optional(settings_.end_of_word_suffix)},
          {"fuse_unk", settings_.fuse_unk},
          {"byte_fallback", settings_.byte_fallback},
          {"ignore_merges", settings_.ignore_merges},
          {"vocab", vocabulary_json(*vocabulary_)},
          {"merges", std::move(merges)}};
}

}  // namespace mica
