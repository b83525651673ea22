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
  uint32_t next(uint32_t cell) const { return links_[cell].second; }
  bool is_free(uint32_t cell) const { return free_[cell]; }
  bool base_taken(uint32_t base) const { return base_taken_[base]; }
  void take_base(uint32_t base) { base_taken_[base] = true; }
  uint32_t size() const { return static_cast<uint32_t>(links_.size()); }

  void take(uint32_t cell) {
    const auto [before, after] = links_[cell];
    free_[cell] = false;
    if (after == cell) {
      head_ = kNone;
    } else {
      links_[before].second = after;
      links_[after].first = before;
      if (head_ == cell) head_ = after;
    }
  }

  uint32_t add_block() {
    const uint32_t begin = size();
    if (begin >= kOpenBlocks * kBlock) {
      const uint32_t old = begin - kOpenBlocks * kBlock;
      for (uint32_t cell = old; cell < old + kBlock; ++cell) {
        if (free_[cell]) take(cell);
      }
    }
    links_.resize(begin + kBlock);
    free_.resize(begin + kBlock, true);
    base_taken_.resize(begin + kBlock, false);
    for (uint32_t cell = begin; cell < begin + kBlock; ++cell) {
      if (head_ == kNone) {
        links_[cell] = {cell, cell};
        head_ = cell;
      } else {
        const uint32_t last = links_[head_].first;
        links_[cell] = {last, head_};
        links_[last].second = cell;
        links_[head_].first = cell;
      }
    }
    return begin;
  }

  static constexpr uint32_t kNone = UINT32_MAX;

 private:
  std::vector<std::pair<uint32_t, uint32_t>> links_;  // before, after
  std::vector<bool> free_, base_taken_;
  uint32_t head_ = kNone;
};

}  // namespace

struct PieceTrie::Builder {
  std::vector<Cell>& cells;
  FreeCells free = {};

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
  uint32_t find_base(const std::vector<unsigned char>& bytes) {
    const auto fits = [&](uint32_t base) {
      if (base == 0 || free.base_taken(base)) return false;
      return std::all_of(bytes.begin(), bytes.end(), [&](unsigned char b) { return free.is_free(base ^ b); });
    };
    if (free.head() != FreeCells::kNone) {
      uint32_t cell = free.head();
      do {
        const uint32_t base = cell ^ bytes.front();
        if (fits(base)) return base;
        cell = free.next(cell);
      } while (cell != free.head());
    }
    const uint32_t begin = free.size();
    grow();
    return begin ^ bytes.front();
  }

  uint32_t build(std::vector<Item>& items) {
    if (items.empty()) return 0;
    std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.text < b.text; });
    while (free.head() == FreeCells::kNone || free.head() == 0) {
      if (free.head() == 0 && free.next(0) != 0) {
        free.take(0);  // cell 0 means "no state"
      } else {
        grow();
      }
    }
    struct Task {
      uint32_t state;
      size_t begin, end, depth;
    };
    const uint32_t root = take(free.head(), 0);
    std::vector<Task> tasks = {{root, 0, items.size(), 0}};
    std::vector<unsigned char> bytes;
    std::vector<size_t> starts;
    while (!tasks.empty()) {
      Task task = tasks.back();
      tasks.pop_back();
      if (items[task.begin].text.size() == task.depth) {
        cells[task.state].id = items[task.begin].id;
        ++task.begin;
      }
      if (task.begin == task.end) continue;
      bytes.clear();
      starts.clear();
      for (size_t i = task.begin; i < task.end; ++i) {
        const auto byte = static_cast<unsigned char>(items[i].text[task.depth]);
        if (bytes.empty() || bytes.back() != byte) {
          bytes.push_back(byte);
          starts.push_back(i);
        }
      }
      starts.push_back(task.end);
      const uint32_t base = find_base(bytes);
      free.take_base(base);
      cells[task.state].base = base;
      for (size_t i = 0; i < bytes.size(); ++i) {
        const uint32_t child = take(base ^ bytes[i], static_cast<uint16_t>(bytes[i] | kTaken));
        tasks.push_back({child, starts[i], starts[i + 1], task.depth + 1});
      }
    }
    return root;
  }
};

PieceTrie::PieceTrie(const Vocabulary& vocabulary, std::string_view continuing_prefix) {
  std::vector<Item> starts, continuations;
  for (int64_t i = 0; i < vocabulary.id_bound(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string_view token = vocabulary.token(id);
    if (token.empty()) continue;
    starts.push_back({token, id});
    if (token.size() > continuing_prefix.size() && token.substr(0, continuing_prefix.size()) == continuing_prefix) {
      continuations.push_back({token.substr(continuing_prefix.size()), id});
    }
  }
  Builder builder{cells_};
  root_ = builder.build(starts);
  continuing_root_ = builder.build(continuations);
}

}  // namespace mica
