#pragma once
// Byte-level BPE from text to ids in one pass: a hand-written scanner cuts a word, a table gives its tokens.
//
// It is fast because a word of up to 15 bytes is looked up as two registers in a table of words seen before, which
// holds the tokens themselves; what is not there goes through ByteBpe, which needs no joins. Offsets are counted along
// the way. Nothing is allocated per word. The separate components are the reference it is tested against.

#include <cstdint>
#include <memory>
#include <span>
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
                                                   const TokenModel* model, ImageReader* image = nullptr);
  static constexpr const char* kName = "byte level";
  const char* name() const override { return kName; }
  void write(ImageWriter& image) const override { bpe_->write(image); }

  std::unique_ptr<Scratch> make_scratch() const override;
  bool encode(std::string_view segment, int32_t first, bool one_word, int32_t& word, Scratch& scratch,
              TokenList& out) const override;

 private:
  enum class Split { gpt2, cl100k, cl100k_end_first, qwen2, o200k, deepseek };
  struct Plan {
    Split split;
    bool add_prefix_space = false;
  };
  // A word of up to 15 bytes (its length is the top byte), and its one to five tokens; count 0: it is a LongWord.
  struct alignas(32) Slot {
    uint64_t low = 0, high = 0;
    uint64_t first = 0;  // three ids of 21 bits
    uint64_t rest = 0;   // two more, the lengths of the first four in 4 bits each, the count
    int count() const { return static_cast<int>(rest >> 58); }
    int32_t id(int i) const {
      return static_cast<int32_t>((i < 3 ? first >> 21 * i : rest >> 21 * (i - 3)) & 0x1fffff);
    }
    int length(int i) const { return static_cast<int>(rest >> (42 + 4 * i) & 15); }
  };
  struct Character;
  struct LongWord;
  struct Memory;    // the words that one thread has seen
  struct Pool;      // memories that no call is using
  struct Borrowed;  // the Scratch
  class Writer;
  struct Part;

  ByteLevelFast(std::unique_ptr<const ByteBpe> bpe, Plan plan, bool composes);
  static bool read_plan(const PreTokenizer* pre_tokenizer, Plan* plan);
  template <typename Scanner>
  void encode_with(std::string_view text, int32_t number, int32_t step, int32_t& word, Memory& memory,
                   TokenList& out) const;
  void write_several(const Slot& slot, const Part& part, int32_t number, int32_t characters, int32_t word,
                     Writer& writer) const;
  const char* end_of_part(const char* p, const char* end) const;
  template <typename Length>
  static int32_t write_tokens(const char* p, std::span<const int32_t> ids, const Length& length, int32_t number,
                              int32_t word, Writer& writer);
  [[gnu::noinline]] int32_t long_word(const Part& part, size_t hash, int32_t number, int32_t word, Memory& memory,
                                      Writer& writer) const;
  void keep_long(const Part& part, size_t hash, Memory& memory) const;
  [[gnu::noinline]] int32_t new_word(const Part& part, int32_t number, int32_t word, Memory& memory,
                                     Writer& writer) const;
  [[gnu::noinline]] void new_character(std::string_view text, Character& character, Memory& memory) const;
  const char* write_singles(const char* p, const char* end, int32_t& number, int32_t word, Memory& memory,
                            Writer& writer) const;

  std::unique_ptr<const ByteBpe> bpe_;
  Plan plan_;
  bool composes_;  // the normalizer is NFC
  std::shared_ptr<Pool> pool_;
};

}  // namespace mica
