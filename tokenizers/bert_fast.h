#pragma once
// BERT's normalizer, pre-tokenizer and WordPiece fused into one pass over the text, with offsets.
//
// It is fast because a word is normalized straight into a small buffer (ASCII by one table, everything else by a
// per-character table made from the normalizer itself), looked up whole as a 12-byte key, and only cut into pieces when
// the vocabulary lacks it. Nothing is allocated per word. The separate components are the reference it is tested
// against; where a character's treatment depends on its neighbours it steps aside for them.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "mica/tokenizers/fast_path.h"
#include "mica/tokenizers/models/wordpiece.h"
#include "mica/tokenizers/normalizers.h"
#include "mica/tokenizers/pretokenizers.h"

namespace mica {

class BertFast : public FastPath {
 public:
  /// Null unless the components are BERT's three.
  static std::shared_ptr<const BertFast> make(const Normalizer* normalizer, const PreTokenizer* pre_tokenizer,
                                              const TokenModel* model, ImageReader* image = nullptr);
  static constexpr const char* kName = "wordpiece";
  const char* name() const override { return kName; }
  void write(ImageWriter& image) const override { image.add(words_); }
  ~BertFast() override;
  BertFast(const BertFast&) = delete;
  BertFast& operator=(const BertFast&) = delete;

  std::unique_ptr<Scratch> make_scratch() const override { return std::make_unique<OpenWord>(); }
  bool encode(std::string_view segment, int32_t first, bool one_word, int32_t& word, Scratch& scratch,
              TokenList& out) const override;

 private:
  struct OpenWord : Scratch {
    std::vector<char> word;        // the normalized bytes of the open word
    std::vector<CharSpan> origin;  // what each of them stands for
  };
  // What becomes of a character: up to three characters in the low bits (index of an expansion for `several`).
  enum Kind : uint8_t { kKeep, kSpace, kPunctuation, kDrop, kChinese, kSeveral, kUnsupported };
  struct Action {
    Kind kind;
    uint8_t length;  // bytes of what replaces it
    char bytes[14];
    int32_t alone = -1;  // the one token that it makes where it is a word of its own; -1: several, or none is known
  };
  using Page = std::array<Action, 256>;

  // A whole word of up to 12 bytes, padded with zeros, and its id (-1: the slot is free): a quarter of a cache line.
  struct alignas(16) WordKey {
    uint64_t low;
    uint32_t high;
    int32_t id;
  };
  BertFast(BertNormalizer::Settings settings, const WordPiece& model, ImageReader* image);
  static std::vector<WordKey> make_words(const Vocabulary& vocabulary, size_t limit);
  const Action& action(char32_t c) const;
  Action make_action(char32_t c) const;
  int32_t token_alone(const Action& action) const;

  int32_t find_word(uint64_t low, uint32_t high) const;
  const char* ascii_word(const char* p, int32_t first, int32_t number, char* buffer, TokenList& out) const;
  void emit(const char* word, size_t size, int32_t first, int32_t number, TokenList& out) const;
  void cut(const char* word, size_t size, int32_t first, int32_t number, TokenList& out) const;
  void emit(const char* word, size_t size, const CharSpan* origin, int32_t number, TokenList& out) const;

  BertNormalizer normalizer_;
  const WordPiece* model_;
  size_t limit_;  // characters of the longest word that is cut
  std::array<uint8_t, 256> ascii_kind_{};
  std::array<char, 256> ascii_lower_{};
  std::array<int32_t, 256> ascii_alone_{};  // as Action::alone
  bool ascii_words_ = false;  // the ASCII characters that make words are letters and digits, as they are or lowered
  bool ascii_lowers_ = false;
  Table<WordKey> words_;
  size_t words_mask_ = 0;
  mutable std::array<std::atomic<Page*>, 0x1100> pages_{};
};

}  // namespace mica
