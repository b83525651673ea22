#pragma once
// SentencePiece-like tokenizers (T5, XLM-R, ALBERT) in one pass over the text, with offsets: normalizer by table, cut
// at white space, Metaspace, Unigram.
//
// It is fast because words of ASCII up to 32 bytes are taken from the text into registers and looked up whole among the
// words that came before (word_cache.h), and only new ones go through Viterbi's algorithm. Nothing is allocated per
// word. The separate components are the reference it is tested against; where a text needs more than the table knows,
// it steps aside for them.

#include <memory>
#include <string_view>
#include <vector>

#include "mica/tokenizers/character_table.h"
#include "mica/tokenizers/fast_path.h"
#include "mica/tokenizers/metaspace.h"
#include "mica/tokenizers/models/unigram.h"
#include "mica/tokenizers/word_cache.h"

namespace mica {

class UnigramFast : public FastPath {
 public:
  /// Null unless the components are of this kind.
  static std::shared_ptr<const UnigramFast> make(const Normalizer* normalizer, const PreTokenizer* pre_tokenizer,
                                                 const TokenModel* model);
  const char* name() const override { return "unigram"; }
  std::unique_ptr<Scratch> make_scratch() const override;
  bool encode(std::string_view segment, int32_t first, bool one_word, int32_t& word, Scratch& scratch,
              TokenList& out) const override;

 private:
  struct Memory;
  class Pass;

  const Unigram* model_ = nullptr;
  std::unique_ptr<CharacterTable> characters_;
  MetaspaceSettings::Prepend prepend_ = MetaspaceSettings::Prepend::always;
  bool splits_white_ = false;  // words end at any white space, which is lost; else each blank begins one
  bool ascii_words_ = false;   // U+0021 to U+007E stay as they are, or capitals become small, and nothing else happens
  bool ascii_lowers_ = false;
  int32_t surface_id_ = -1;
  std::shared_ptr<WordCachePool> caches_ = std::make_shared<WordCachePool>();
};

}  // namespace mica
