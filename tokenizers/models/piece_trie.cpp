#include "mica/tokenizers/models/piece_trie.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mica/base/error.h"

namespace mica {
namespace {

constexpr uint32_t kBlock = 256;
// Blocks older than this many are not searched for free cells any more: it bounds the time of building.
constexpr uint32_t kOpenBlocks = 16;

// The free cells of the open blocks, as a doubly linked ring, and which bases are taken.
class FreeCells {
 public:
  uint32_t head() const { return head_; }
  uint32_t next(uint32_t cell) const { return cells_[cell].after; }
  bool is_free(uint32_t cell) const { return cells_[cell].free; }
  bool base_taken(uint32_t base) const { return cells_[base].base_taken; }
  void take_base(uint32_t base) { cells_[base].base_taken = true; }
  uint32_t size() const { return static_cast<uint32_t>(cells_.size()); }

  void take(uint32_t cell) {
    const auto [before, after, free, base_taken] = cells_[cell];
    cells_[cell].free = false;
    if (after == cell) {
      head_ = kNone;
    } else {
      cells_[before].after = after;
      cells_[after].before = before;
      if (head_ == cell) head_ = after;
    }
  }

  uint32_t add_block() {
    const uint32_t begin = size();
    if (begin >= kOpenBlocks * kBlock) {
      const uint32_t old = begin - kOpenBlocks * kBlock;
      for (uint32_t cell = old; cell < old + kBlock; ++cell) {
        if (cells_[cell].free) take(cell);
      }
    }
    for (uint32_t cell = begin; cell < begin + kBlock; ++cell) cells_.push_back({cell - 1, cell + 1, true, false});
    cells_[begin].before = begin + kBlock - 1;
    cells_.back().after = begin;
    if (head_ == kNone) {
      head_ = begin;
    } else {
      const uint32_t last = cells_[head_].before;
      cells_[last].after = begin;
      cells_[begin].before = last;
      cells_.back().after = head_;
      cells_[head_].before = begin + kBlock - 1;
    }
    return begin;
  }

  static constexpr uint32_t kNone = UINT32_MAX;

 private:
  struct State {
    uint32_t before, after;
    bool free, base_taken;
  };
  std::vector<State> cells_;
  uint32_t head_ = kNone;
};

}  // namespace

struct PieceTrie::Builder {
  std::vector<Cell> cells = {};
  std::vector<Tail> tails = {};
  std::vector<char> tail_text = {};
  FreeCells free = {};
  std::vector<Piece> sorted = {};

  Builder() {
    grow();
    free.take(0);
  }

  void finish(PieceTrie& trie) {
    trie.cells_ = Table<Cell>(std::move(cells));
    trie.tails_ = Table<Tail>(std::move(tails));
    trie.tail_text_ = Table<char>(std::move(tail_text));
  }

  void grow() {
    free.add_block();
    cells.resize(free.size());
  }

  uint32_t take(uint32_t cell, uint16_t check) {
    free.take(cell);
    cells[cell].check = check;
    return cell;
  }

  // A base under which every one of the bytes finds a free cell.
  uint32_t find_base(const unsigned char* bytes, size_t count) {
    const auto fits = [&](uint32_t base) {
      if (base == 0 || free.base_taken(base)) return false;
      return std::all_of(bytes, bytes + count, [&](unsigned char b) { return free.is_free(base ^ b); });
    };
    if (free.head() != FreeCells::kNone) {
      uint32_t cell = free.head();
      int tries = 24;  // what does not fit soon gets a new block
      do {
        const uint32_t base = cell ^ bytes[0];
        if (fits(base)) return base;
        cell = free.next(cell);
      } while (cell != free.head() && --tries > 0);
    }
    const uint32_t begin = free.size();
    grow();
    return begin ^ bytes[0];
  }

  void add_tail(Cell& cell, const Piece& item, size_t depth) {
    const std::string_view rest = item.text.substr(depth);
    cell.tail = static_cast<uint32_t>(tails.size());
    cell.id = item.id;
    tails.push_back({static_cast<uint32_t>(tail_text.size()), static_cast<uint32_t>(rest.size())});
    tail_text.insert(tail_text.end(), rest.begin(), rest.end());
  }

  // Sorts items[begin, end) by their byte at `depth`.
  void group(std::vector<Piece>& items, size_t begin, size_t end, size_t depth) {
    const auto byte = [&](const Piece& item) { return static_cast<unsigned char>(item.text[depth]); };
    if (end - begin <= 16) {
      for (size_t i = begin + 1; i < end; ++i) {
        const Piece item = items[i];
        size_t at = i;
        for (; at > begin && byte(items[at - 1]) > byte(item); --at) items[at] = items[at - 1];
        items[at] = item;
      }
      return;
    }
    std::array<size_t, 256> starts{};
    for (size_t i = begin; i < end; ++i) ++starts[byte(items[i])];
    size_t at = begin;
    for (size_t& start : starts) at += std::exchange(start, at);
    sorted.assign(items.begin() + static_cast<std::ptrdiff_t>(begin), items.begin() + static_cast<std::ptrdiff_t>(end));
    for (const Piece& item : sorted) items[starts[byte(item)]++] = item;
  }

  uint32_t build(std::vector<Piece>& items) {
    if (items.empty()) return 0;
    if (free.head() == FreeCells::kNone) grow();
    struct Task {
      uint32_t state;
      size_t begin, end, depth;
    };
    const uint32_t root = take(free.head(), 0);
    std::vector<Task> tasks = {{root, 0, items.size(), 0}};
    while (!tasks.empty()) {
      Task task = tasks.back();
      tasks.pop_back();
      if (task.end - task.begin == 1 && task.depth > 0) {
        add_tail(cells[task.state], items[task.begin], task.depth);
        continue;
      }
      // Tokens are distinct, so at most one ends here.
      for (size_t i = task.begin; i < task.end; ++i) {
        if (items[i].text.size() != task.depth) continue;
        cells[task.state].id = items[i].id;
        std::swap(items[i], items[task.begin++]);
        break;
      }
      group(items, task.begin, task.end, task.depth);
      unsigned char bytes[256];
      size_t begins[257];
      size_t count = 0;
      for (size_t i = task.begin; i < task.end; ++i) {
        const auto byte = static_cast<unsigned char>(items[i].text[task.depth]);
        if (count > 0 && bytes[count - 1] == byte) continue;
        begins[count] = i;
        bytes[count++] = byte;
      }
      begins[count] = task.end;
      const uint32_t base = find_base(bytes, count);
      free.take_base(base);
      cells[task.state].base = base;
      for (size_t i = 0; i < count; ++i) {
        const uint32_t child = take(base ^ bytes[i], static_cast<uint16_t>(bytes[i] | kTaken));
        tasks.push_back({child, begins[i], begins[i + 1], task.depth + 1});
      }
    }
    return root;
  }
};

PieceTrie::PieceTrie(const Vocabulary& vocabulary, std::string_view continuing_prefix) {
  std::vector<Piece> starts, continuations;
  starts.reserve(static_cast<size_t>(vocabulary.size()));
  for (int64_t i = 0; i < vocabulary.id_bound(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view token = vocabulary.token(id);
    if (token.empty()) continue;
    starts.push_back({token, id});
    if (token.size() > continuing_prefix.size() && token.substr(0, continuing_prefix.size()) == continuing_prefix) {
      continuations.push_back({token.substr(continuing_prefix.size()), id});
    }
  }
  Builder builder;
  root_ = builder.build(starts);
  continuing_root_ = builder.build(continuations);
  builder.finish(*this);
}

namespace {

// Of equal tokens the one that a look-up gives.
std::vector<PieceTrie::Piece> pieces_of(const Vocabulary& vocabulary) {
  std::vector<PieceTrie::Piece> pieces;
  pieces.reserve(static_cast<size_t>(vocabulary.size()));
  for (int64_t i = 0; i < vocabulary.id_bound(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view token = vocabulary.token(id);
    if (token.empty() || (vocabulary.has_duplicates() && vocabulary.find(token) != id)) continue;
    pieces.push_back({token, id});
  }
  return pieces;
}

}  // namespace

PieceTrie::PieceTrie(const Vocabulary& vocabulary) : PieceTrie(pieces_of(vocabulary)) {}

PieceTrie::PieceTrie(std::vector<Piece> pieces) {
  Builder builder;
  root_ = builder.build(pieces);
  builder.finish(*this);
}

PieceTrie::PieceTrie(ImageReader& image)
    : cells_(image.take<Cell>()),
      tails_(image.take<Tail>()),
      tail_text_(image.take<char>()),
      root_(image.take_value<uint32_t>()),
      continuing_root_(image.take_value<uint32_t>()) {}

void PieceTrie::write(ImageWriter& image) const {
  image.add(cells_);
  image.add(tails_);
  image.add(tail_text_);
  image.add_value(root_);
  image.add_value(continuing_root_);
}

}  // namespace mica
