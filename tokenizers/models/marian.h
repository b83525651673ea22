#pragma once
// Marian, M2M100 and others: pieces are those of a SentencePiece model, ids those of a vocabulary of their own
// (Marian's models of source and target language share one). A piece that it lacks is unknown.

#include <memory>

#include "mica/tokenizers/models/sentencepiece.h"

namespace mica {

class Marian : public TokenModel {
 public:
  Marian(std::shared_ptr<const SentencePiece> pieces, std::shared_ptr<const Vocabulary> vocabulary, int32_t unk_id);
  const char* type() const override { return "MarianPieces"; }
  const Vocabulary& vocabulary() const override { return *vocabulary_; }
  void tokenize(std::string_view text, std::vector<ModelToken>& out) const override;
  /// Throws Error: tokenizer.json has no component that does this.
  Json to_json() const override;

 private:
  std::shared_ptr<const SentencePiece> pieces_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  int32_t unk_id_;
};

}  // namespace mica
