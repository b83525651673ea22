#include "mica/tokenizers/trainers/unigram_trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <unordered_map>

#include "mica/base/error.h"
#include "mica/base/parallel.h"
#include "mica/tokenizers/models/vocabulary.h"
#include "mica/tokenizers/trainers/unigram_lattice.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

constexpr double kDropped = std::numeric_limits<double>::quiet_NaN();
constexpr double kUnknownPenalty = 10;   // below the rarest piece
constexpr double kMinExpected = 0.5;     // occurrences that keep a piece
constexpr double kMissingStep = 0.0001;  // between the scores of characters that training has dropped
constexpr size_t kPartialBytes = 64 << 20;

// The derivative of the logarithm of the gamma function, by its asymptotic series at x - 1/2.
double digamma(double x) {
  double result = 0;
  for (; x < 7; x += 1) result -= 1 / x;
  x -= 0.5;
  const double r2 = 1 / (x * x), r4 = r2 * r2;
  return result + std::log(x) + 1.0 / 24 * r2 - 7.0 / 960 * r4 + 31.0 / 8064 * r4 * r2 - 127.0 / 30720 * r4 * r4;
}

class Trainer {
 public:
  Trainer(const UnigramCorpus& corpus, const UnigramTraining& training)
      : corpus_(corpus), training_(training), desired_(static_cast<size_t>(training.vocab_size) * 11 / 10) {
    pieces_.push_back({0, 0, kDropped});  // what no piece covers
    const std::vector<UnigramPiece> seeds = make_seed_pieces(corpus, static_cast<uint32_t>(training.max_piece_length),
                                                             static_cast<size_t>(training.seed_size));
    pieces_.insert(pieces_.end(), seeds.begin(), seeds.end());
    cut_words();
  }

  void run() {
    const double seeds = log_ratio();
    while (true) {
      const UnigramTrie trie(corpus_, pieces_);
      for (int64_t i = 0; i < training_.n_sub_iterations; ++i) maximize(expect(trie));
      const auto alive = static_cast<size_t>(std::count_if(pieces_.begin() + 1, pieces_.end(),
                                                           [](const auto& piece) { return !std::isnan(piece.score); }));
      if (alive + 1 <= desired_) break;
      pieces_ = prune(trie, alive + 1);
      if (training_.progress && seeds > 0) {
        training_.progress(
            "pieces", std::clamp(static_cast<int64_t>(100 * (1 - log_ratio() / seeds)), int64_t{0}, int64_t{100}), 100);
      }
      if (pieces_.size() >= alive + 1) break;  // nothing is left that can go
    }
    const auto dropped = [&](const UnigramPiece& piece) { return &piece != pieces_.data() && std::isnan(piece.score); };
    std::vector<UnigramPiece> kept;
    for (const UnigramPiece& piece : pieces_) {
      if (!dropped(piece)) kept.push_back(piece);
    }
    pieces_ = std::move(kept);
    if (training_.progress) training_.progress("pieces", 100, 100);
  }

  /// The first one stands for what no piece covers.
  const std::vector<UnigramPiece>& pieces() const { return pieces_; }
  double min_score() const {
    double lowest = std::numeric_limits<double>::infinity();
    for (const UnigramPiece& piece : pieces_) {
      if (piece.score < lowest) lowest = piece.score;
    }
    return lowest;
  }

 private:
  // How many rounds there are left is proportional to this.
  double log_ratio() const {
    return std::log(static_cast<double>(pieces_.size()) / static_cast<double>(std::max<size_t>(desired_, 1)));
  }

  // Parts of the words with about the same number of characters. Sums are taken by parts, in their order: so they do
  // not depend on how many threads there are.
  void cut_words() {
    const size_t by_memory = kPartialBytes / (sizeof(double) * pieces_.size());
    const size_t parts = std::clamp<size_t>(std::min(by_memory, corpus_.symbols.size() >> 13), 1, 16);
    part_ends_.clear();
    for (size_t i = 0; i < corpus_.words.size(); ++i) {
      const uint64_t end = uint64_t{corpus_.words[i].begin} + corpus_.words[i].length;
      while (part_ends_.size() + 1 < parts && end >= corpus_.symbols.size() * (part_ends_.size() + 1) / parts) {
        part_ends_.push_back(i + 1);
      }
    }
    part_ends_.resize(parts, corpus_.words.size());
  }

  std::span<const uint32_t> symbols(uint32_t begin, uint32_t length) const {
    return std::span(corpus_.symbols).subspan(begin, length);
  }

  // The sums over all words, by piece, of what `visit(lattice, word, sums)` adds.
  template <typename Visit>
  std::vector<double> sum_over_words(const Visit& visit) const {
    std::vector<std::vector<double>> parts(part_ends_.size());
    parallel_for(static_cast<int64_t>(parts.size()), 1, [&](int64_t first, int64_t last) {
      UnigramLattice lattice;
      for (auto part = static_cast<size_t>(first); part < static_cast<size_t>(last); ++part) {
        parts[part].assign(pieces_.size(), 0);
        for (size_t i = part == 0 ? 0 : part_ends_[part - 1]; i < part_ends_[part]; ++i) {
          visit(lattice, corpus_.words[i], std::span(parts[part]));
        }
      }
    });
    for (size_t part = 1; part < parts.size(); ++part) {
      for (size_t i = 0; i < pieces_.size(); ++i) parts[0][i] += parts[part][i];
    }
    return std::move(parts[0]);
  }

  UnigramModel model(const UnigramTrie& trie) {
    scores_.clear();
    probabilities_.clear();
    for (const UnigramPiece& piece : pieces_) {
      scores_.push_back(piece.score);
      probabilities_.push_back(std::exp(piece.score));
    }
    return {trie, scores_, probabilities_, min_score() - kUnknownPenalty};
  }

  std::vector<double> expect(const UnigramTrie& trie) {
    const UnigramModel now = model(trie);
    return sum_over_words([&](UnigramLattice& lattice, const UnigramCorpus::Word& word, std::span<double> sums) {
      lattice.add_expected(now, symbols(word.begin, word.length), word.count, sums);
    });
  }

  // Not maximum likelihood, but the mean under a Dirichlet process, which drives rare pieces out (P. Liang and D. Klein
  // 2007).
  void maximize(const std::vector<double>& expected) {
    double sum = 0;
    for (size_t i = 1; i < pieces_.size(); ++i) {
      if (!std::isnan(pieces_[i].score) && expected[i] >= kMinExpected) sum += expected[i];
    }
    const double log_sum = digamma(sum);
    for (size_t i = 1; i < pieces_.size(); ++i) {
      double& score = pieces_[i].score;
      if (std::isnan(score)) continue;
      score = expected[i] < kMinExpected ? kDropped : digamma(expected[i]) - log_sum;
    }
  }

  // How a piece would be written with the others; empty where it has to stay, or is not even the best way to write
  // itself.
  struct Alternative {
    bool keep = true;
    std::vector<uint32_t> pieces = {};
  };
  std::vector<Alternative> alternatives(const UnigramModel& now) const {
    std::vector<Alternative> result(pieces_.size());
    parallel_for(static_cast<int64_t>(pieces_.size()), 1024, [&](int64_t first, int64_t last) {
      UnigramLattice lattice;
      for (auto i = static_cast<size_t>(std::max<int64_t>(first, 1)); i < static_cast<size_t>(last); ++i) {
        const UnigramPiece& piece = pieces_[i];
        if (std::isnan(piece.score) || piece.length < 2) continue;
        std::vector<std::vector<uint32_t>> cuts = lattice.best(now, symbols(piece.begin, piece.length), 2);
        if (cuts.size() < 2) continue;
        if (cuts[0].size() > 1) {
          result[i].keep = false;
        } else {
          result[i].pieces = std::move(cuts[1]);
        }
      }
    });
    return result;
  }

  // The pieces that stay: those without an alternative, then those whose loss would cost the most.
  std::vector<UnigramPiece> prune(const UnigramTrie& trie, size_t alive) {
    const UnigramModel now = model(trie);
    const std::vector<Alternative> others = alternatives(now);
    const std::vector<double> counts =
        sum_over_words([&](UnigramLattice& lattice, const UnigramCorpus::Word& word, std::span<double> sums) {
          std::vector<uint32_t> cut;
          lattice.best(now, symbols(word.begin, word.length), cut);
          for (const uint32_t piece : cut) sums[piece] += word.count;
        });
    double words = 0, sum = 0;
    for (const UnigramCorpus::Word& word : corpus_.words) words += word.count;
    for (const double count : counts) sum += count;
    const double log_sum = std::log(sum);

    std::vector<UnigramPiece> kept = {pieces_[0]};
    std::vector<std::pair<double, size_t>> candidates;
    for (size_t i = 1; i < pieces_.size(); ++i) {
      const Alternative& other = others[i];
      if (std::isnan(pieces_[i].score) || (counts[i] == 0 && !other.keep)) continue;
      if (other.pieces.empty()) {
        kept.push_back(pieces_[i]);
        continue;
      }
      if (counts[i] == 0) continue;
      // Without the piece, every occurrence of it becomes its alternative, and the likelihood loses this much. The new
      // sum counts all pieces, not those of the alternative: so it does in SentencePiece and in the reference.
      const double new_log_sum = std::log(sum + counts[i] * static_cast<double>(alive - 1));
      double log_other = 0;
      for (const uint32_t piece : other.pieces) log_other += std::log(counts[piece] + counts[i]) - new_log_sum;
      candidates.emplace_back(counts[i] / words * (std::log(counts[i]) - log_sum - log_other), i);
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    const auto shrunk = static_cast<size_t>(static_cast<double>(alive) * training_.shrinking_factor);
    const size_t size = std::max(desired_, shrunk);
    for (const auto& [loss, i] : candidates) {
      if (kept.size() == size) break;
      kept.push_back(pieces_[i]);
    }
    return kept;
  }

  const UnigramCorpus& corpus_;
  const UnigramTraining& training_;
  size_t desired_;  // more than asked for; the last cut is by score alone
  std::vector<UnigramPiece> pieces_;
  std::vector<size_t> part_ends_;
  std::vector<double> scores_, probabilities_;
};

[[noreturn]] void fail(const std::string& problem, const std::string& mend) {
  throw Error(problem, "unigram training", mend);
}

void check(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    fail(std::string(name) + " out of range: " + std::to_string(value),
         "use " + std::to_string(low) + " to " + std::to_string(high));
  }
}

// All characters that the vocabulary must have, by code point.
std::vector<std::string> required_characters(const WordCounts& words, const UnigramTraining& training) {
  std::vector<bool> occurs(0x110000, false);
  for (const WordCount& word : words.words) {
    for (const char *p = word.text.data(), *end = p + word.text.size(); p < end;) occurs[utf8::next(p)] = true;
  }
  for (const char32_t c : training.initial_alphabet) {
    if (c >= occurs.size()) fail("a character beyond Unicode in initial_alphabet", "give code points");
    occurs[c] = true;
  }
  std::vector<std::string> characters;
  for (char32_t c = 0; c < occurs.size(); ++c) {
    if (occurs[c]) utf8::append(c, characters.emplace_back());
  }
  return characters;
}

}  // namespace

UnigramVocabulary train_unigram(const WordCounts& words, const UnigramTraining& training) {
  check("vocab_size", training.vocab_size, 1, Vocabulary::kMaxId);
  check("n_sub_iterations", training.n_sub_iterations, 0, 1000);
  check("max_piece_length", training.max_piece_length, 1, 1 << 20);
  check("seed_size", training.seed_size, 1, int64_t{1} << 31);
  if (!(training.shrinking_factor > 0 && training.shrinking_factor < 1)) {
    fail("shrinking_factor out of range: " + std::to_string(training.shrinking_factor), "use a number between 0 and 1");
  }
  UnigramVocabulary result;
  std::vector<std::string> special = training.special_tokens;
  if (training.unk_token) {
    auto at = std::find(special.begin(), special.end(), *training.unk_token);
    if (at == special.end()) at = special.insert(special.begin(), *training.unk_token);
    result.unk_id = at - special.begin();
  }
  const std::vector<std::string> required = required_characters(words, training);
  const auto vocab_size = static_cast<size_t>(training.vocab_size);
  if (special.size() > vocab_size) {
    fail(std::to_string(special.size()) + " special tokens do not fit into a vocab_size of " +
             std::to_string(vocab_size),
         "use a larger vocab_size");
  }
  if (required.size() > vocab_size) {
    fail("the " + std::to_string(required.size()) + " characters of the texts do not fit into a vocab_size of " +
             std::to_string(vocab_size),
         "use a larger vocab_size, or a normalizer that leaves fewer characters");
  }
  const UnigramCorpus corpus = make_unigram_corpus(words);
  Trainer trainer(corpus, training);
  trainer.run();

  std::unordered_map<std::string, double> scores;
  std::vector<std::pair<std::string, double>> trained;
  for (size_t i = 1; i < trainer.pieces().size(); ++i) {
    const UnigramPiece& piece = trainer.pieces()[i];
    trained.emplace_back(corpus.text(piece.begin, piece.length), piece.score);
  }
  std::set<std::string> taken;
  std::vector<std::pair<std::string, double>> pieces;
  for (const auto& [text, score] : trained) scores.emplace(text, score);
  const double lowest = trainer.min_score();
  double penalty = 0;
  for (const std::string& character : required) {
    const auto it = scores.find(character);
    pieces.emplace_back(character, it == scores.end() ? lowest + penalty : it->second);
    if (it == scores.end()) penalty += kMissingStep;
    taken.insert(character);
  }
  // Characters are there whatever the size; where they already exceed it, so is everything else, as in the reference.
  const size_t room = vocab_size - special.size();
  for (const auto& [text, score] : trained) {
    if (text == "<UNK>" || !taken.insert(text).second) continue;
    pieces.emplace_back(text, score);
    if (pieces.size() == room) break;
  }
  std::stable_sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const std::string& token : special) result.pieces.emplace_back(token, 0.0);
  result.pieces.insert(result.pieces.end(), pieces.begin(), pieces.end());
  return result;
}

}  // namespace mica
