#pragma once
// The components of a tokenizer.json, put together: text to tokens with offsets, and tokens back to text.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mica/tokenizers/added_vocabulary.h"
#include "mica/tokenizers/decode_table.h"
#include "mica/tokenizers/decoders.h"
#include "mica/tokenizers/fast_path.h"
#include "mica/tokenizers/models/model.h"
#include "mica/tokenizers/normalizers.h"
#include "mica/tokenizers/options.h"
#include "mica/tokenizers/post_processors.h"
#include "mica/tokenizers/pretokenizers.h"
#include "mica/tokenizers/token_list.h"

namespace mica {

namespace tokenizer_detail {
/// What BatchEncoding asks for the texts of its tokens.
struct TokenTexts {
  virtual ~TokenTexts() = default;
  virtual std::string_view text(int32_t id) const = 0;
};
}  // namespace tokenizer_detail

/// The "truncation" and "padding" objects of a tokenizer.json: defaults of a later call, and written back on saving.
struct FileTruncation {
  int64_t max_length = 0;
  Truncation strategy = Truncation::longest_first;
  int64_t stride = 0;
  Side direction = Side::right;
};
struct FilePadding {
  std::optional<int64_t> fixed_length = {};
  Side direction = Side::right;
  std::optional<int64_t> pad_to_multiple_of = {};
  int32_t pad_id = 0;
  int32_t pad_type_id = 0;
  std::string pad_token = "[PAD]";
};

/// Memory that one thread reuses from text to text, with one engine.
struct EncodeScratch {
  NormalizedText text;
  std::vector<AddedVocabulary::Piece> raw_pieces, normalized_pieces;
  std::vector<ByteRange> words;
  std::vector<ModelToken> tokens;
  std::string valid_text;
  std::unique_ptr<FastPath::Scratch> fast;  // made by the path when it first needs it
};

/// Immutable once prepared; a tokenizer that gets tokens added works on a copy, which shares the heavy parts.
class Engine : public tokenizer_detail::TokenTexts {
 public:
  NormalizerPtr normalizer;
  PreTokenizerPtr pre_tokenizer;
  TokenModelPtr model;
  PostProcessor post_processor;
  DecoderPtr decoder;
  AddedVocabulary added;
  std::optional<FileTruncation> truncation;
  std::optional<FilePadding> padding;

  /// Makes what the components need to work together; call it after any of them has changed. `image`, if there is one,
  /// holds next what write_fast_path() put there.
  void prepare(ImageReader* image = nullptr);
  /// Null where these components have none.
  const FastPath* fast_path() const { return fast_.get(); }
  /// For tests: everything through the components, nothing through fused paths.
  void forbid_fast_path() {
    fast_.reset();
    decode_table_.reset();
  }
  bool has_fast_path() const { return fast_ != nullptr; }

  /// Appends the tokens of one text. `word` is the number of the next word; with `one_word` all tokens get it.
  void encode(std::string_view text, bool split_special, bool one_word, int32_t& word, EncodeScratch& scratch,
              TokenList& out) const;

  std::string_view text(int32_t id) const override;
  bool knows(int64_t id) const;
  std::optional<int32_t> find(std::string_view token) const;
  /// One more than the highest id.
  int64_t id_bound() const;
  /// Tokens, added ones included.
  int64_t size() const;
  /// Ids to text; ids that are none are left out, and special tokens where asked for.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;
  /// Tokens to text as the decoder says; joined by spaces without one.
  std::string join(std::vector<std::string> tokens) const;

 private:
  void encode_segment(std::string_view segment, int32_t first, bool split_special, bool one_word, int32_t& word,
                      EncodeScratch& scratch, TokenList& out) const;
  bool encode_fast(std::string_view segment, int32_t first, bool one_word, int32_t& word, EncodeScratch& scratch,
                   TokenList& out) const;
  void encode_components(std::string_view segment, int32_t first, bool find_added, bool split_special, bool one_word,
                         int32_t& word, EncodeScratch& scratch, TokenList& out) const;
  void push_added(std::string_view matched, int32_t id, CharSpan place, int32_t word, TokenList& out) const;

  // Made when something is first decoded.
  struct LazyTable {
    std::once_flag once;
    std::shared_ptr<const DecodeTable> table;
  };

  std::shared_ptr<const FastPath> fast_;
  // What it was made for: as long as these stay, so does the path.
  NormalizerPtr fast_normalizer_;
  PreTokenizerPtr fast_pre_tokenizer_;
  TokenModelPtr fast_model_;
  bool normalizes_ = false;  // the normalizer may change a text
  std::shared_ptr<LazyTable> decode_table_;
};

}  // namespace mica
