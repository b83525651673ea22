#pragma once
// All ways to cut a word into pieces: how often each piece is expected, and the best cut.

#include <cstdint>
#include <span>
#include <vector>

#include "mica/tokenizers/trainers/unigram_corpus.h"

namespace mica {

/// Finds the pieces that a word starts with. Pieces are numbered from 0.
class UnigramTrie {
 public:
  UnigramTrie(const UnigramCorpus& corpus, std::span<const UnigramPiece> pieces);

  /// Calls visit(piece, length) for every piece that the symbols start with, short ones first.
  template <typename Visit>
  void prefixes(std::span<const uint32_t> symbols, const Visit& visit) const {
    uint32_t node = 0;
    for (uint32_t i = 0; i < symbols.size(); ++i) {
      node = i == 0 ? roots_[symbols[0]] : child(node, symbols[i]);
      if (node == 0) return;
      if (pieces_[node] >= 0) visit(static_cast<uint32_t>(pieces_[node]), i + 1);
    }
  }

 private:
  struct Edge {
    uint64_t key = 0;  // node and symbol
    uint32_t child = 0;
  };
  uint32_t child(uint32_t node, uint32_t symbol) const;
  uint32_t add_child(uint32_t node, uint32_t symbol);
  void grow();

  std::vector<uint32_t> roots_;  // by symbol
  std::vector<int32_t> pieces_;  // by node, -1: none ends here
  std::vector<Edge> edges_;      // open addressing, a power of two
  size_t edge_count_ = 0;
};

/// The pieces with their scores at one moment of training; piece 0 stands for what no piece covers.
struct UnigramModel {
  const UnigramTrie& trie;
  std::span<const double> scores;         ///< by piece; NaN: dropped
  std::span<const double> probabilities;  ///< their exponentials
  double unknown_score;                   ///< of a character that is no piece
};

/// Memory for one word after another.
class UnigramLattice {
 public:
  /// Adds to `expected`, by piece, how often each is expected in the word, times `count`.
  void add_expected(const UnigramModel& model, std::span<const uint32_t> word, double count,
                    std::span<double> expected);
  /// The pieces of the best cut.
  void best(const UnigramModel& model, std::span<const uint32_t> word, std::vector<uint32_t>& pieces);
  /// The best cuts, the best one first; as many as there are, at most `count`.
  std::vector<std::vector<uint32_t>> best(const UnigramModel& model, std::span<const uint32_t> word, size_t count);

 private:
  struct Node {
    uint32_t begin, end, piece;
    double score;
    double best = 0;      // of the cuts of what goes before, with this node
    uint32_t before = 0;  // the node before it in that cut
  };
  // A way from a node to the end.
  struct Rest {
    uint32_t node, next;  // next: position in rests_
    double score;         // of the nodes on it
    double total;         // with the best cut of what goes before
  };
  void make_nodes(const UnigramModel& model, std::span<const uint32_t> word);
  void find_best(size_t length);
  std::span<const uint32_t> ending_at(uint32_t position) const {
    return std::span(ending_).subspan(end_begins_[position], end_begins_[position + 1] - end_begins_[position]);
  }

  std::vector<Node> nodes_;  // by where they begin; with find_best, the last one stands at the end of the word
  std::vector<uint32_t> ending_, end_begins_, next_;  // nodes by where they end
  std::vector<double> forward_, backward_;
  std::vector<Rest> rests_;
};

}  // namespace mica
