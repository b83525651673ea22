#include "mica/tokenizers/trainers/bpe_trainer.h"

#include <algorithm>
#include <limits>

#include "mica/base/error.h"
#include "mica/tokenizers/models/vocabulary.h"
#include "mica/tokenizers/trainers/bpe_alphabet.h"

namespace mica {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

constexpr uint64_t pair_key(uint32_t a, uint32_t b) {
  return uint64_t{a} << 32 | b;
}

// Pairs of neighbours, how often they occur, and in which words they have newly appeared.
class PairTable {
 public:
  struct Pair {
    uint64_t key;
    int64_t count = 0;
    std::vector<uint32_t> words = {};  // not in the queue yet
  };

  uint32_t find_or_add(uint64_t key) {
    if (pairs_.size() * 2 >= slots_.size()) grow();
    size_t at = hash(key) & (slots_.size() - 1);
    for (; slots_[at] != 0; at = (at + 1) & (slots_.size() - 1)) {
      if (pairs_[slots_[at] - 1].key == key) return slots_[at] - 1;
    }
    pairs_.push_back({key});
    slots_[at] = static_cast<uint32_t>(pairs_.size());
    return slots_[at] - 1;
  }
  Pair& operator[](uint32_t i) { return pairs_[i]; }
  uint32_t size() const { return static_cast<uint32_t>(pairs_.size()); }

 private:
  static size_t hash(uint64_t key) {
    key *= 0x9e3779b97f4a7c15u;
    return key ^ key >> 32;
  }
  void grow() {
    if (pairs_.size() >= kNone / 4) {
      throw Error("more than a thousand million different pairs", "BPE training", "use fewer or shorter words");
    }
    slots_.assign(std::max<size_t>(1 << 16, slots_.size() * 2), 0);
    for (uint32_t i = 0; i < pairs_.size(); ++i) {
      size_t at = hash(pairs_[i].key) & (slots_.size() - 1);
      while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = i + 1;
    }
  }

  std::vector<Pair> pairs_;
  std::vector<uint32_t> slots_;  // position in pairs_ + 1; a power of two
};

// A pair that waits to be merged in some words. A pair may be in the queue more than once, with different words: it is
// then merged as often.
struct Candidate {
  uint64_t count;
  uint64_t key;
  uint32_t pair;
  uint32_t words;  // position in Merger::waiting_
};

bool later(const Candidate& a, const Candidate& b) {
  return a.count != b.count ? a.count < b.count : a.key > b.key;
}

class Merger {
 public:
  Merger(SpelledWords words, std::optional<int64_t> max_token_length)
      : words_(std::move(words)),
        max_length_(max_token_length ? static_cast<uint64_t>(*max_token_length) : UINT64_MAX) {
    if (max_token_length) symbol_lengths_.assign(words_.symbols.size(), 1);
    for (uint32_t w = 0; w < words_.lengths.size(); ++w) {
      const uint32_t* const symbols = words_.symbols.data() + words_.begins[w];
      for (uint32_t i = 0; i + 1 < words_.lengths[w]; ++i) change(symbols[i], symbols[i + 1], w, 1);
    }
    queue_changes();
  }

  // The most frequent pair, or nothing when there is none of this count.
  std::optional<Candidate> next(uint64_t min_count) {
    while (!queue_.empty()) {
      std::pop_heap(queue_.begin(), queue_.end(), later);
      Candidate top = queue_.back();
      // Where max_token_length keeps a pair from being counted, taking it away can bring a count below zero. The
      // reference then reads it as a huge number, and so do we.
      const auto count = static_cast<uint64_t>(pairs_[top.pair].count);
      if (top.count != count) {
        queue_.back().count = count;
        std::push_heap(queue_.begin(), queue_.end(), later);
        continue;
      }
      queue_.pop_back();
      if (count < min_count) return std::nullopt;
      return top;
    }
    return std::nullopt;
  }

  void merge(const Candidate& candidate, uint32_t id) {
    const auto a = static_cast<uint32_t>(candidate.key >> 32), b = static_cast<uint32_t>(candidate.key);
    const std::vector<uint32_t> places = std::move(waiting_[candidate.words]);
    free_.push_back(candidate.words);
    for (const uint32_t w : places) merge_in_word(w, a, b, id);
    queue_changes();
  }

 private:
  void change(uint32_t a, uint32_t b, uint32_t word, int64_t sign) {
    const uint32_t i = pairs_.find_or_add(pair_key(a, b));
    PairTable::Pair& pair = pairs_[i];
    pair.count += sign * static_cast<int64_t>(words_.counts[word]);
    if (sign < 0) return;
    if (pair.words.empty()) changed_.push_back(i);
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
  }

  void queue_changes() {
    for (const uint32_t i : changed_) {
      PairTable::Pair& pair = pairs_[i];
      if (pair.count <= 0) {
        pair.words.clear();
        continue;
      }
      uint32_t place = static_cast<uint32_t>(waiting_.size());
      if (free_.empty()) {
        waiting_.emplace_back();
      } else {
        place = free_.back();
        free_.pop_back();
      }
      waiting_[place] = std::move(pair.words);
      pair.words = {};
      queue_.push_back({static_cast<uint64_t>(pair.count), pair.key, i, place});
      std::push_heap(queue_.begin(), queue_.end(), later);
    }
    changed_.clear();
  }

  void merge_in_word(uint32_t w, uint32_t a, uint32_t b, uint32_t id) {
    uint32_t* const symbols = words_.symbols.data() + words_.begins[w];
    uint32_t* const lengths = symbol_lengths_.empty() ? nullptr : symbol_lengths_.data() + words_.begins[w];
    const uint32_t n = words_.lengths[w];
    uint32_t out = 0;
    for (uint32_t i = 0; i < n; ++i, ++out) {
      if (symbols[i] != a || i + 1 == n || symbols[i + 1] != b) {
        symbols[out] = symbols[i];
        if (lengths != nullptr) lengths[out] = lengths[i];
        continue;
      }
      const uint32_t length = lengths != nullptr ? lengths[i] + lengths[i + 1] : 0;
      const auto allowed = [&](uint32_t neighbour) {
        return lengths == nullptr || uint64_t{lengths[neighbour]} + length < max_length_;
      };
      if (out > 0) {
        change(symbols[out - 1], a, w, -1);
        if (allowed(out - 1)) change(symbols[out - 1], id, w, 1);
      }
      if (i + 2 < n) {
        change(b, symbols[i + 2], w, -1);
        if (allowed(i + 2)) change(id, symbols[i + 2], w, 1);
      }
      symbols[out] = id;
      if (lengths != nullptr) lengths[out] = length;
      ++i;
    }
    words_.lengths[w] = out;
  }

  SpelledWords words_;
  uint64_t max_length_;
  std::vector<uint32_t> symbol_lengths_;  // in characters; only where max_token_length asks for them
  PairTable pairs_;
  std::vector<uint32_t> changed_;
  std::vector<Candidate> queue_;  // a heap
  std::vector<std::vector<uint32_t>> waiting_;
  std::vector<uint32_t> free_;
};

void check(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    throw Error(std::string(name) + " out of range: " + std::to_string(value), "BPE training",
                "use " + std::to_string(low) + " to " + std::to_string(high));
  }
}

// A pair that is merged again, since it came back in other words, takes its last place.
std::vector<std::pair<uint32_t, uint32_t>> last_of_each(const std::vector<uint64_t>& merges) {
  std::vector<std::pair<uint64_t, size_t>> order;
  order.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) order.emplace_back(merges[i], i);
  std::sort(order.begin(), order.end());
  std::vector<bool> repeated(merges.size(), false);
  for (size_t i = 0; i + 1 < order.size(); ++i) repeated[order[i].second] = order[i].first == order[i + 1].first;
  std::vector<std::pair<uint32_t, uint32_t>> result;
  for (size_t i = 0; i < merges.size(); ++i) {
    if (!repeated[i]) result.emplace_back(static_cast<uint32_t>(merges[i] >> 32), static_cast<uint32_t>(merges[i]));
  }
  return result;
}

}  // namespace

BpeVocabulary train_bpe(const WordCounts& words, const BpeTraining& training) {
  check("vocab_size", training.vocab_size, 0, Vocabulary::kMaxId);
  check("min_frequency", training.min_frequency, 0, std::numeric_limits<int64_t>::max());
  if (training.limit_alphabet) check("limit_alphabet", *training.limit_alphabet, 0, 0x110000);
  if (training.max_token_length) check("max_token_length", *training.max_token_length, 0, int64_t{1} << 31);

  GrowingVocabulary vocabulary;
  Merger merger(spell_words(words, training, vocabulary), training.max_token_length);
  std::vector<uint64_t> merges;
  const auto target = static_cast<size_t>(training.vocab_size);
  const auto min_count = static_cast<uint64_t>(std::max<int64_t>(training.min_frequency, 1));
  while (vocabulary.size() < target) {
    const auto candidate = merger.next(min_count);
    if (!candidate) break;
    const std::string& first = vocabulary[static_cast<uint32_t>(candidate->key >> 32)];
    std::string_view second = vocabulary[static_cast<uint32_t>(candidate->key)];
    const std::string& prefix = training.continuing_subword_prefix;
    if (second.starts_with(prefix)) second.remove_prefix(prefix.size());
    const uint32_t id = vocabulary.add(first + std::string(second));
    merges.push_back(candidate->key);
    merger.merge(*candidate, id);
    if (training.progress && merges.size() % 256 == 0) {
      training.progress("merges", static_cast<int64_t>(vocabulary.size()), training.vocab_size);
    }
  }
  if (training.progress) training.progress("merges", training.vocab_size, training.vocab_size);
  BpeVocabulary result;
  result.tokens = vocabulary.take();
  result.merges = last_of_each(merges);
  return result;
}

}  // namespace mica
