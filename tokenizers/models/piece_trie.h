#pragma once
// The pieces of a WordPiece vocabulary as a double-array trie over bytes: one root for the starts of words, one for
// their continuations (stored without the "##").
//
// state s has a child on byte b when cells[base(s) ^ b].check == b (and the cell is taken); the child's index is that
// cell. XOR in place of a sum keeps a state's children within one block of 256 cells, so that building needs only a
// free list per block (the layout of J. Aoe 1989, with the XOR of Yata's darts-clone).

#include <cstdint>
#include <string_view>
#include <vector>

#include "mica/tokenizers/models/vocabulary.h"

namespace mica {

class PieceTrie {
 public:
  struct Match {
    int32_t id = -1;
    uint32_t length = 0;  ///< bytes; 0: nothing matched
  };

  PieceTrie(const Vocabulary& vocabulary, std::string_view continuing_prefix);

  /// The longest piece that `text` starts with. Pieces end where characters end.
  Match longest(std::string_view text, bool continuing) const {
    Match best;
    uint32_t state = continuing ? continuing_root_ : root_;
    if (state == 0) return best;
    for (uint32_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      const uint32_t next = cells_[state].base ^ byte;
      if (cells_[next].check != (byte | kTaken) || cells_[state].base == 0) break;
      state = next;
      if (cells_[state].id >= 0) best = {cells_[state].id, i + 1};
    }
    return best;
  }

 private:
  static constexpr uint16_t kTaken = 0x100;
  struct Cell {
    uint32_t base = 0;  // 0: no children
    int32_t id = -1;
    uint16_t check = 0;
  };
  struct Item {
    std::string_view text;
    int32_t id;
  };
  struct Builder;

  std::vector<Cell> cells_;
  uint32_t root_ = 0, continuing_root_ = 0;
};

}  // namespace mica
