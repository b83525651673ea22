#pragma once
// Byte-level BPE straight from bytes to ids, without joining pair by pair.
//
// A row of tokens is what BPE makes of a text exactly when every token is what BPE makes of its own bytes and every two
// neighbours are what it makes of theirs together: joins inside a token do not depend on what lies outside, and of the
// joins across a border the first one shows between the two tokens alone. That row is unique, so it is found from the
// left: the longest token that goes with the one before it; where none does, one step back. A position that was found
// to lead nowhere is not tried again, which bounds the work: it is linear in the text. (The observation is that of the
// `bpe` crate of GitHub's rust-gems, H. van Antwerpen and A. Neubeck 2024; ranks take the place of its ids here.)
//
// Whether two tokens go together: undo their joins, the highest rank first, and look at each stage whether the pair at
// the border has a rank that comes before the join just undone.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mica/tokenizers/models/bpe.h"
#include "mica/tokenizers/models/piece_trie.h"

namespace mica {

class ByteBpe {
 public:
  /// Null where the model is no byte-level one (it has an affix, drops joins, lacks the token of a byte), or where its
  /// merges are not in an order in which they could have been learned. `model` must outlive the result.
  static std::unique_ptr<const ByteBpe> make(const Bpe& model, ImageReader* image = nullptr);
  void write(ImageWriter& image) const;

  /// What one thread keeps from word to word: verdicts on pairs of tokens, and where a search stands.
  class Memory {
   public:
    Memory() : verdicts_(kVerdicts, 0) {}

   private:
    friend class ByteBpe;
    static constexpr size_t kVerdicts = size_t{1} << 16;
    std::vector<uint64_t> verdicts_;  // left, right, and in the lowest bits 2 | whether they go together
    std::vector<uint64_t> dead_;      // positions that lead nowhere, as bits
  };

  /// The tokens of a word (any bytes), appended to `ids`.
  void encode(std::string_view word, Memory& memory, std::vector<int32_t>& ids) const;
  /// The tokens of a word of 1 to kShort bytes, by joining; returns how many.
  static constexpr size_t kShort = 32;
  size_t join(std::string_view word, int32_t (&ids)[kShort]) const;
  /// Whether a token may lie across the border between two characters, given as their code points and as the bytes at
  /// the border: where none may, what is on either side can be encoded on its own. Only for characters beyond ASCII.
  bool may_cross(char32_t left, char32_t right, char last, char next) const {
    const size_t bytes = bytes_at(last, next);
    if ((partial_[bytes >> 6] >> (bytes & 63) & 1) != 0) return true;
    const size_t bit = neighbours_bit(left, right);
    return (neighbours_[bit >> 6] >> (bit & 63) & 1) != 0;
  }
  /// Whether words may be cut at such borders at all: no part, and no word with such a border, is one of whole_.
  bool cuts() const { return cuts_; }
  /// Bytes of a token.
  uint32_t length(int32_t id) const { return tokens_[static_cast<size_t>(id)].length; }

 private:
  // How BPE makes a token of its bytes: the two parts of the last join, and its rank plus 1 (0: a byte).
  struct Token {
    int32_t left = -1, right = -1;
    uint32_t rank = kUnmade;
    uint32_t length = 0;
  };
  static constexpr uint32_t kUnmade = UINT32_MAX;

  explicit ByteBpe(const Bpe& model) : model_(&model) {}
  void read(ImageReader& image);
  void find_whole();
  bool find_bytes();
  bool find_splits(std::vector<Token> tokens);
  void build_trie();
  void find_neighbours();
  static size_t bytes_at(char last, char next) {
    return size_t{static_cast<unsigned char>(last)} << 8 | static_cast<unsigned char>(next);
  }
  size_t neighbours_bit(char32_t left, char32_t right) const {
    return static_cast<size_t>((uint64_t{left} << 32 | right) * 0x9e3779b97f4a7c15u >> neighbours_shift_);
  }
  bool go_together(const Token* tokens, int32_t left, int32_t right, uint32_t limit) const;
  bool go_together(int32_t left, int32_t right, Memory& memory) const;
  PieceTrie::Match shorter(PieceTrie::Match match) const;
  std::string_view text(int32_t id) const { return {text_.data() + begins_[static_cast<size_t>(id)], length(id)}; }

  const Bpe* model_;
  Table<int32_t> byte_ids_;
  Table<uint32_t> byte_pairs_;  // ranks of pairs of bytes
  Table<uint64_t> neighbours_;  // bits: characters that are neighbours in some token, at shared places
  Table<uint64_t> partial_;     // bits by the two bytes at a border, where some token has only a part of a character
  int neighbours_shift_ = 58;
  Table<Token> tokens_;     // by id
  Table<uint32_t> begins_;  // of their bytes in text_
  Table<char> text_;
  std::unique_ptr<const PieceTrie> trie_;                // of the tokens that BPE makes
  std::unique_ptr<std::atomic<int32_t>[]> shorter_;      // the longest token that a token begins with; see shorter()
  std::unordered_map<std::string_view, int32_t> whole_;  // tokens that BPE does not make, but that stay whole as words
  bool cuts_ = true;                                     // all of whole_ are ASCII
};

}  // namespace mica
