#pragma once
// Byte-level BPE from text to ids in one pass: a hand-written scanner cuts a word, a table gives its tokens.
//
// It is fast because a word of up to 15 bytes is looked up as two registers in a table of words seen before, which
// holds the tokens themselves; what is not there goes through ByteBpe, which needs no joins. Offsets are counted along
// the way. Nothing is allocated per word. The separate components are the reference it is tested against.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "mica/tokenizers/fast_path.h"
#include "mica/tokenizers/models/byte_bpe.h"
#include "mica/tokenizers/split_scanner.h"

namespace mica {

class ByteLevelFast : public FastPath {
 public:
  /// Null unless these are a known split, byte level and a BPE that ByteBpe takes.
  static std::shared_ptr<const ByteLevelFast> make(const Normalizer* normalizer, const PreTokenizer* pre_tokenizer,
                                                   const TokenModel* model);

  std::unique_ptr<Scratch> make_scratch() const override;
  bool encode(std::string_view segment, int32_t first, bool one_word, int32_t& word, Scratch& scratch,
              TokenList& out) const override;

 private:
  enum class Split { gpt2, cl100k, cl100k_end_first, qwen2, o200k, deepseek };
  struct Plan {
    Split split;
    bool add_prefix_space = false;
  };
  // A word of up to 15 bytes (its length is the top byte), and up to three tokens with their lengths.
  struct alignas(32) Slot {
    uint64_t low = 0, high = 0;
    int32_t ids[3] = {};
    uint8_t count = 0;
    uint8_t lengths[3] = {};
  };
  struct Memory;    // the words that one thread has seen
  struct Pool;      // memories that no call is using
  struct Borrowed;  // the Scratch
  class Writer;

  ByteLevelFast(std::unique_ptr<const ByteBpe> bpe, Plan plan, bool composes);
  static bool read_plan(const PreTokenizer* pre_tokenizer, Plan* plan);
  template <typename Scanner>
  void encode_with(std::string_view text, int32_t number, int32_t step, int32_t& word, Memory& memory,
                   TokenList& out) const;
  void long_word(const char* p, size_t size, int32_t number, int32_t word, Memory& memory, Writer& writer) const;
  void new_word(const char* p, size_t size, uint64_t low, uint64_t high, int32_t number, int32_t word, Memory& memory,
                Writer& writer) const;

  std::unique_ptr<const ByteBpe> bpe_;
  Plan plan_;
  bool composes_;  // the normalizer is NFC
  std::shared_ptr<Pool> pool_;
};

}  // namespace mica
