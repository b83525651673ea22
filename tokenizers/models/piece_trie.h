#pragma once
// The pieces of a WordPiece vocabulary as a double-array trie over bytes: one root for the starts of words, one for
// their continuations (stored without the "##").
//
// state s has a child on byte b when cells[base(s) ^ b].check says so; the child's index is that cell. XOR in place of
// a sum keeps a state's children within one block of 256 cells, so that building needs only a free list (the layout of
// J. Aoe 1989, with the XOR of Yata's darts-clone). Where only one piece is left, the rest of it stands in `tails_` as
// plain text: that saves most of the states, and most of the time to build them.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mica/base/image.h"
#include "mica/base/table.h"
#include "mica/tokenizers/models/vocabulary.h"

namespace mica {

class PieceTrie {
 public:
  struct Match {
    int32_t id = -1;
    uint32_t length = 0;  ///< bytes; 0: nothing matched
  };

  struct Piece {
    std::string_view text;
    int32_t id;
  };

  PieceTrie(const Vocabulary& vocabulary, std::string_view continuing_prefix);
  /// All tokens of the vocabulary under the first root, none under the second.
  explicit PieceTrie(const Vocabulary& vocabulary);
  /// Of any byte strings, all different and none empty; the trie of continuations is empty.
  explicit PieceTrie(std::vector<Piece> pieces);

  /// One that an image keeps.
  explicit PieceTrie(ImageReader& image);
  void write(ImageWriter& image) const;

  /// The longest piece that `text` starts with. Pieces end where characters end.
  Match longest(std::string_view text, bool continuing) const {
    Match best;
    const Cell* cells = cells_.data();
    const Cell* state = &cells[continuing ? continuing_root_ : root_];
    const auto size = static_cast<uint32_t>(text.size());
    for (uint32_t i = 0;; ++i) {
      if (state->tail != kNoTail) {
        const Tail& tail = tails_[state->tail];
        if (size - i < tail.length) return best;
        for (uint32_t j = 0; j < tail.length; ++j) {
          if (text[i + j] != tail_text_[tail.begin + j]) return best;
        }
        return {state->id, i + tail.length};
      }
      if (state->id >= 0 && i > 0) best = {state->id, i};
      if (i == size || state->base == 0) return best;
      const auto byte = static_cast<unsigned char>(text[i]);
      state = &cells[state->base ^ byte];
      if (state->check != (byte | kTaken)) return best;
    }
  }

  /// Calls found(id, length) for every piece that `text` starts with, the shortest first.
  template <typename Found>
  void prefixes(std::string_view text, const Found& found) const {
    const Cell* cells = cells_.data();
    const Cell* state = &cells[root_];
    const auto size = static_cast<uint32_t>(text.size());
    for (uint32_t i = 0;; ++i) {
      if (state->tail != kNoTail) {
        const Tail& tail = tails_[state->tail];
        if (size - i >= tail.length && text.compare(i, tail.length, tail_text_.data() + tail.begin, tail.length) == 0) {
          found(state->id, i + tail.length);
        }
        return;
      }
      if (state->id >= 0 && i > 0) found(state->id, i);
      if (i == size || state->base == 0) return;
      const auto byte = static_cast<unsigned char>(text[i]);
      state = &cells[state->base ^ byte];
      if (state->check != (byte | kTaken)) return;
    }
  }

 private:
  static constexpr uint16_t kTaken = 0x100;
  static constexpr uint32_t kNoTail = UINT32_MAX;
  struct Cell {
    uint32_t base = 0;  // 0: no children
    int32_t id = -1;
    uint32_t tail = kNoTail;
    uint16_t check = 0;
  };
  struct Tail {
    uint32_t begin, length;
  };
  struct Builder;

  Table<Cell> cells_;  // cell 0 is the state without children: the root of nothing
  Table<Tail> tails_;
  Table<char> tail_text_;
  uint32_t root_ = 0, continuing_root_ = 0;
};

}  // namespace mica
