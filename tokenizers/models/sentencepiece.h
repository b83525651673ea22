#pragma once
// SentencePiece's own four ways to cut a normalized text, as its library does them: Unigram in single precision, BPE by
// the scores of the pieces, words and characters. (The models of tokenizer.json do the same in double precision, or by
// a list of merges, and differ where scores tie.)

#include <memory>
#include <string_view>
#include <vector>

#include "mica/tokenizers/models/model.h"
#include "mica/tokenizers/models/piece_trie.h"

namespace mica {

struct SentencePieceModel;

class SentencePiece : public TokenModel {
 public:
  explicit SentencePiece(std::shared_ptr<const SentencePieceModel> model);
  ~SentencePiece() override;

  const char* type() const override { return "SentencePiece"; }
  const Vocabulary& vocabulary() const override;
  void tokenize(std::string_view text, std::vector<ModelToken>& out) const override;
  int32_t surface_id() const override;
  /// Throws Error: tokenizer.json has no component that does quite this.
  Json to_json() const override;

  /// The user-defined symbols, which normalizers and merges leave whole.
  const std::shared_ptr<const PieceTrie>& symbols() const { return symbols_; }

 private:
  struct Cut {
    uint32_t begin, end;
    int32_t id;
  };
  std::vector<Cut> unigram(std::string_view text) const;
  std::vector<Cut> bpe(std::string_view text) const;
  std::vector<Cut> words(std::string_view text) const;
  std::vector<Cut> characters(std::string_view text) const;
  uint32_t symbol_length(std::string_view text, bool& whole) const;
  int32_t id_of(std::string_view piece) const;

  std::shared_ptr<const SentencePieceModel> model_;
  std::shared_ptr<const PieceTrie> symbols_;
  std::unique_ptr<PieceTrie> pieces_;  // of the texts that may be cut out
  float lowest_ = 0, highest_ = 0;     // scores of normal pieces
  std::vector<int32_t> byte_ids_;      // with byte fallback
};

}  // namespace mica
