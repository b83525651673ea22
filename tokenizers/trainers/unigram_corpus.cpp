#include "mica/tokenizers/trainers/unigram_corpus.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/tokenizers/utf8.h"

namespace mica {

std::string UnigramCorpus::text(uint32_t begin, uint32_t length) const {
  std::string result;
  for (uint32_t i = begin; i < begin + length; ++i) utf8::append(characters[symbols[i]], result);
  return result;
}

UnigramCorpus make_unigram_corpus(const WordCounts& words) {
  UnigramCorpus corpus;
  std::vector<uint32_t> symbol_of(0x110000, 0);
  size_t total = 0;
  for (const WordCount& word : words.words) {
    for (const char *p = word.text.data(), *end = p + word.text.size(); p < end; ++total) symbol_of[utf8::next(p)] = 1;
    ++total;
  }
  if (total > std::numeric_limits<uint32_t>::max() - 1024) {
    throw Error("the different words have more than 4,000 million characters", "unigram training",
                "use a pre-tokenizer that cuts finer, or fewer texts");
  }
  corpus.characters.push_back(0);
  symbol_of[0] = 0;
  for (char32_t c = 1; c < symbol_of.size(); ++c) {
    if (symbol_of[c] == 0) continue;
    symbol_of[c] = static_cast<uint32_t>(corpus.characters.size());
    corpus.characters.push_back(c);
  }
  corpus.symbols.reserve(total);
  for (const WordCount& word : words.words) {
    const auto begin = static_cast<uint32_t>(corpus.symbols.size());
    for (const char *p = word.text.data(), *end = p + word.text.size(); p < end;) {
      corpus.symbols.push_back(symbol_of[utf8::next(p)]);
    }
    const auto length = static_cast<uint32_t>(corpus.symbols.size()) - begin;
    corpus.words.push_back({begin, length, static_cast<double>(word.count)});
    corpus.symbols.push_back(0);
  }
  return corpus;
}

namespace {

// Suffixes in the order of their first `depth` symbols; what follows a zero does not count.
class SortedSuffixes {
 public:
  SortedSuffixes(const std::vector<uint32_t>& symbols, size_t alphabet, uint32_t depth)
      : symbols_(symbols), depth_(depth) {
    const int bits = std::bit_width(alphabet);
    const uint32_t packed = std::min<uint32_t>(depth, 64 / static_cast<uint32_t>(bits));
    std::vector<size_t> ends(alphabet + 1, 0);  // of each first symbol's bucket
    for (const uint32_t symbol : symbols) ++ends[symbol];
    const size_t zeros = ends[0];
    ends[0] = 0;
    for (size_t i = 1; i <= alphabet; ++i) ends[i] += ends[i - 1];
    suffixes_.resize(symbols.size() - zeros);
    std::vector<size_t> next(ends.begin(), ends.end());
    for (uint32_t i = 0; i < symbols.size(); ++i) {
      if (symbols[i] != 0) suffixes_[next[symbols[i] - 1]++] = {pack(i, packed, bits), i};
    }
    parallel_for(static_cast<int64_t>(alphabet), 1, [&](int64_t first, int64_t last) {
      for (auto bucket = static_cast<size_t>(first); bucket < static_cast<size_t>(last); ++bucket) {
        std::sort(suffixes_.begin() + static_cast<std::ptrdiff_t>(ends[bucket]),
                  suffixes_.begin() + static_cast<std::ptrdiff_t>(ends[bucket + 1]),
                  [&](const Suffix& a, const Suffix& b) {
                    return a.key != b.key ? a.key < b.key : less(a.begin, b.begin, packed);
                  });
      }
    });
  }

  size_t size() const { return suffixes_.size(); }
  uint32_t operator[](size_t i) const { return suffixes_[i].begin; }
  // How many symbols two suffixes share, up to the depth; a zero ends the comparison, and counts.
  uint32_t common(uint32_t a, uint32_t b) const {
    uint32_t n = 0;
    while (n < depth_ && symbols_[a + n] == symbols_[b + n]) {
      if (symbols_[a + n++] == 0) break;
    }
    return n;
  }

 private:
  struct Suffix {
    uint64_t key;
    uint32_t begin;
  };
  uint64_t pack(uint32_t begin, uint32_t count, int bits) const {
    uint64_t key = 0;
    bool ended = false;
    for (uint32_t i = 0; i < count; ++i) {
      ended = ended || symbols_[begin + i] == 0;
      key = key << bits | (ended ? 0 : symbols_[begin + i]);
    }
    return key;
  }
  bool less(uint32_t a, uint32_t b, uint32_t from) const {
    for (uint32_t i = 0; i < from; ++i) {
      if (symbols_[a + i] == 0) return false;
    }
    for (uint32_t i = from; i < depth_; ++i) {
      if (symbols_[a + i] != symbols_[b + i]) return symbols_[a + i] < symbols_[b + i];
      if (symbols_[a + i] == 0) return false;
    }
    return false;
  }

  const std::vector<uint32_t>& symbols_;
  uint32_t depth_;
  std::vector<Suffix> suffixes_;
};

// A substring: that of this length which the suffixes from `first` on share.
struct Repeat {
  uint64_t score;  // the symbols that its occurrences cover
  size_t first;
  uint32_t length;
};

// The inner nodes of the suffix tree, by the stack of open intervals (T. Kasai and others 2001).
std::vector<Repeat> find_repeats(const SortedSuffixes& suffixes, const std::vector<uint32_t>& symbols,
                                 uint32_t max_length) {
  struct Open {
    size_t first;
    int64_t depth;
  };
  std::vector<Repeat> repeats;
  std::vector<Open> stack = {{0, -1}};
  for (size_t i = 0; i <= suffixes.size(); ++i) {
    Open current{i, -1};
    if (i > 0 && i < suffixes.size()) current.depth = suffixes.common(suffixes[i - 1], suffixes[i]);
    while (stack.back().depth > current.depth) {
      const Open done = stack.back();
      stack.pop_back();
      current.first = done.first;
      if (i - done.first < 2 || done.depth < 2 || done.depth > max_length) continue;
      const auto length = static_cast<uint32_t>(done.depth);
      if (symbols[suffixes[done.first] + length - 1] == 0) continue;  // goes beyond the word
      repeats.push_back({static_cast<uint64_t>(i - done.first) * length, done.first, length});
    }
    if (stack.back().depth < current.depth) stack.push_back(current);
    stack.push_back({i, std::numeric_limits<int64_t>::max()});
  }
  return repeats;
}

}  // namespace

std::vector<UnigramPiece> make_seed_pieces(const UnigramCorpus& corpus, uint32_t max_piece_length, size_t seed_size) {
  std::vector<UnigramPiece> pieces;
  const size_t alphabet = corpus.characters.size() - 1;
  std::vector<uint64_t> counts(alphabet + 1, 0);
  std::vector<uint32_t> places(alphabet + 1, 0);
  for (const UnigramCorpus::Word& word : corpus.words) {
    for (uint32_t i = word.begin; i < word.begin + word.length; ++i) {
      counts[corpus.symbols[i]] += static_cast<uint64_t>(word.count);
      places[corpus.symbols[i]] = i;
    }
  }
  std::vector<uint32_t> order;
  for (uint32_t symbol = 1; symbol <= alphabet; ++symbol) order.push_back(symbol);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return counts[a] != counts[b] ? counts[a] > counts[b] : a > b; });
  double sum = 0;
  const auto push = [&](uint32_t begin, uint32_t length, uint64_t score) {
    pieces.push_back({begin, length, static_cast<double>(score)});
    sum += static_cast<double>(score);
  };
  for (const uint32_t symbol : order) push(places[symbol], 1, counts[symbol]);

  if (alphabet > 0 && max_piece_length >= 2) {
    const SortedSuffixes suffixes(corpus.symbols, alphabet, max_piece_length + 1);
    std::vector<Repeat> repeats = find_repeats(suffixes, corpus.symbols, max_piece_length);
    std::sort(repeats.begin(), repeats.end(), [](const Repeat& a, const Repeat& b) {
      if (a.score != b.score) return a.score > b.score;
      return a.first != b.first ? a.first > b.first : a.length > b.length;
    });
    for (const Repeat& repeat : repeats) {
      push(suffixes[repeat.first], repeat.length, repeat.score);
      if (pieces.size() >= seed_size) break;
    }
  }
  const double log_sum = std::log(sum);
  for (UnigramPiece& piece : pieces) piece.score = std::log(piece.score) - log_sum;
  return pieces;
}

}  // namespace mica
