#include "mica/tokenizers/trainers/unigram_lattice.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mica {
namespace {

constexpr double kLowest = -std::numeric_limits<double>::infinity();
// Below this, products of probabilities are about to leave the range of a double.
constexpr double kTiny = 1e-270;
constexpr uint32_t kNone = UINT32_MAX;

uint64_t edge_key(uint32_t node, uint32_t symbol) {
  return uint64_t{node} << 32 | symbol;
}
size_t hash(uint64_t key) {
  key *= 0x9e3779b97f4a7c15u;
  return key ^ key >> 32;
}

double log_sum_exp(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kLowest ? a : a + std::log1p(std::exp(b - a));
}

}  // namespace

UnigramTrie::UnigramTrie(const UnigramCorpus& corpus, std::span<const UnigramPiece> pieces)
    : roots_(corpus.characters.size(), 0), pieces_(1, -1) {
  for (uint32_t i = 0; i < pieces.size(); ++i) {
    uint32_t node = 0;
    for (uint32_t k = 0; k < pieces[i].length; ++k) node = add_child(node, corpus.symbols[pieces[i].begin + k]);
    if (node != 0) pieces_[node] = static_cast<int32_t>(i);
  }
}

uint32_t UnigramTrie::child(uint32_t node, uint32_t symbol) const {
  if (edges_.empty()) return 0;
  const uint64_t key = edge_key(node, symbol);
  for (size_t at = hash(key) & (edges_.size() - 1); edges_[at].child != 0; at = (at + 1) & (edges_.size() - 1)) {
    if (edges_[at].key == key) return edges_[at].child;
  }
  return 0;
}

uint32_t UnigramTrie::add_child(uint32_t node, uint32_t symbol) {
  const uint32_t known = node == 0 ? roots_[symbol] : child(node, symbol);
  if (known != 0) return known;
  const auto made = static_cast<uint32_t>(pieces_.size());
  pieces_.push_back(-1);
  if (node == 0) {
    roots_[symbol] = made;
    return made;
  }
  if (edge_count_ * 2 >= edges_.size()) grow();
  ++edge_count_;
  const uint64_t key = edge_key(node, symbol);
  size_t at = hash(key) & (edges_.size() - 1);
  while (edges_[at].child != 0) at = (at + 1) & (edges_.size() - 1);
  edges_[at] = {key, made};
  return made;
}

void UnigramTrie::grow() {
  std::vector<Edge> old(std::max<size_t>(1024, edges_.size() * 2));
  old.swap(edges_);
  for (const Edge& edge : old) {
    if (edge.child == 0) continue;
    size_t at = hash(edge.key) & (edges_.size() - 1);
    while (edges_[at].child != 0) at = (at + 1) & (edges_.size() - 1);
    edges_[at] = edge;
  }
}

void UnigramLattice::make_nodes(const UnigramModel& model, std::span<const uint32_t> word) {
  nodes_.clear();
  for (uint32_t begin = 0; begin < word.size(); ++begin) {
    const size_t first = nodes_.size();
    model.trie.prefixes(word.subspan(begin), [&](uint32_t piece, uint32_t length) {
      const double score = model.scores[piece];
      if (!std::isnan(score)) nodes_.push_back({begin, begin + length, piece, score});
    });
    // A character can always stand alone.
    if (first == nodes_.size() || nodes_[first].end != begin + 1) {
      nodes_.insert(nodes_.begin() + static_cast<std::ptrdiff_t>(first), {begin, begin + 1, 0, model.unknown_score});
    }
  }
}

void UnigramLattice::add_expected(const UnigramModel& model, std::span<const uint32_t> word, double count,
                                  std::span<double> expected) {
  if (word.empty()) return;
  make_nodes(model, word);
  const size_t n = word.size();
  const double unknown = std::exp(model.unknown_score);
  const auto probability = [&](const Node& node) {
    return node.piece == 0 ? unknown : model.probabilities[node.piece];
  };
  forward_.assign(n + 1, 0);
  backward_.assign(n + 1, 0);
  forward_[0] = backward_[n] = 1;
  for (const Node& node : nodes_) forward_[node.end] += forward_[node.begin] * probability(node);
  if (const double all = forward_[n]; all > kTiny) {
    for (size_t i = nodes_.size(); i-- > 0;) {
      backward_[nodes_[i].begin] += backward_[nodes_[i].end] * probability(nodes_[i]);
    }
    for (const Node& node : nodes_) {
      expected[node.piece] += count * (forward_[node.begin] * probability(node) * backward_[node.end] / all);
    }
    return;
  }
  // A long word: the same with logarithms.
  forward_.assign(n + 1, kLowest);
  backward_.assign(n + 1, kLowest);
  forward_[0] = backward_[n] = 0;
  for (const Node& node : nodes_) {
    forward_[node.end] = log_sum_exp(forward_[node.end], forward_[node.begin] + node.score);
  }
  for (size_t i = nodes_.size(); i-- > 0;) {
    double& sum = backward_[nodes_[i].begin];
    sum = log_sum_exp(sum, backward_[nodes_[i].end] + nodes_[i].score);
  }
  for (const Node& node : nodes_) {
    expected[node.piece] += count * std::exp(forward_[node.begin] + node.score + backward_[node.end] - forward_[n]);
  }
}

// Counts are whole numbers, so that different cuts are often equally likely, and rounding decides between them. Sums
// are therefore taken in the order of the reference: each node compares the cuts before it with its own score added.
void UnigramLattice::find_best(size_t length) {
  const auto end = static_cast<uint32_t>(length);
  nodes_.push_back({end, end, 0, 0});
  end_begins_.assign(length + 2, 0);
  for (size_t i = 0; i + 1 < nodes_.size(); ++i) ++end_begins_[nodes_[i].end + 1];
  for (size_t i = 1; i < end_begins_.size(); ++i) end_begins_[i] += end_begins_[i - 1];
  ending_.resize(nodes_.size() - 1);
  next_.assign(end_begins_.begin(), end_begins_.end());
  for (uint32_t i = 0; i + 1 < nodes_.size(); ++i) ending_[next_[nodes_[i].end]++] = i;
  for (Node& node : nodes_) {
    node.best = node.score;
    node.before = kNone;
    for (const uint32_t i : ending_at(node.begin)) {
      const double score = nodes_[i].best + node.score;
      if (node.before != kNone && !(score > node.best)) continue;
      node.best = score;
      node.before = i;
    }
  }
}

void UnigramLattice::best(const UnigramModel& model, std::span<const uint32_t> word, std::vector<uint32_t>& pieces) {
  pieces.clear();
  if (word.empty()) return;
  make_nodes(model, word);
  find_best(word.size());
  for (uint32_t i = nodes_.back().before; i != kNone; i = nodes_[i].before) pieces.push_back(nodes_[i].piece);
  std::reverse(pieces.begin(), pieces.end());
}

namespace {

// A heap of four children a node. Which of equally good elements comes first is a matter of its layout, and follows the
// reference's: a new one passes its equals, and of equal children the first one rises.
template <typename Less>
class QuaternaryHeap {
 public:
  explicit QuaternaryHeap(Less less) : less_(less) {}
  bool empty() const { return items_.empty(); }
  void push(uint32_t item) {
    items_.push_back(item);
    rise(items_.size() - 1);
  }
  uint32_t pop() {
    const uint32_t top = items_.front();
    const uint32_t last = items_.back();
    items_.pop_back();
    if (items_.empty()) return top;
    size_t hole = 0;
    while (4 * hole + 1 < items_.size()) {
      const size_t first = 4 * hole + 1, end = std::min(first + 4, items_.size());
      size_t greatest = first;
      for (size_t child = first + 1; child < end; ++child) {
        if (less_(items_[greatest], items_[child])) greatest = child;
      }
      items_[hole] = items_[greatest];
      hole = greatest;
    }
    items_[hole] = last;
    rise(hole);
    return top;
  }

 private:
  void rise(size_t hole) {
    const uint32_t item = items_[hole];
    while (hole > 0 && !less_(item, items_[(hole - 1) / 4])) {
      items_[hole] = items_[(hole - 1) / 4];
      hole = (hole - 1) / 4;
    }
    items_[hole] = item;
  }

  Less less_;
  std::vector<uint32_t> items_;
};

}  // namespace

std::vector<std::vector<uint32_t>> UnigramLattice::best(const UnigramModel& model, std::span<const uint32_t> word,
                                                        size_t count) {
  // A search from the end of the word (P. Hart, N. Nilsson and B. Raphael 1968); the best cut of what is left is known.
  constexpr size_t kMaxRests = 1 << 20;
  std::vector<std::vector<uint32_t>> cuts;
  if (word.empty()) return cuts;
  make_nodes(model, word);
  find_best(word.size());
  rests_.clear();
  const auto less = [&](uint32_t a, uint32_t b) { return rests_[a].total < rests_[b].total; };
  QuaternaryHeap<decltype(less)> open(less);
  rests_.push_back({static_cast<uint32_t>(nodes_.size()) - 1, kNone, 0, 0});
  open.push(0);
  while (!open.empty() && cuts.size() < count && rests_.size() < kMaxRests) {
    const uint32_t top = open.pop();
    const Rest rest = rests_[top];
    if (rest.node == kNone) {  // the start of the word
      std::vector<uint32_t>& cut = cuts.emplace_back();
      for (uint32_t i = rest.next; rests_[i].next != kNone; i = rests_[i].next) {
        cut.push_back(nodes_[rests_[i].node].piece);
      }
      continue;
    }
    const auto push = [&](uint32_t node, double score, double total) {
      rests_.push_back({node, top, score, total});
      open.push(static_cast<uint32_t>(rests_.size()) - 1);
    };
    if (nodes_[rest.node].begin == 0) {
      push(kNone, rest.score, rest.score);
    } else {
      for (const uint32_t i : ending_at(nodes_[rest.node].begin)) {
        push(i, nodes_[i].score + rest.score, nodes_[i].best + rest.score);
      }
    }
  }
  return cuts;
}

}  // namespace mica
