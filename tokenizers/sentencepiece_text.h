#pragma once
// What SentencePiece does to a text before its model sees it, and to pieces to make text of them.

#include <memory>

#include "mica/tokenizers/chars_map.h"
#include "mica/tokenizers/decoders.h"
#include "mica/tokenizers/models/piece_trie.h"
#include "mica/tokenizers/normalizers.h"

namespace mica {

struct SentencePieceModel;

/// Replaces the longest entries of the model's character map, leaves user-defined symbols as they are, takes out
/// superfluous spaces, and writes spaces as U+2581, one of them in front; each as the model says.
class SentencePieceNormalizer : public Normalizer {
 public:
  SentencePieceNormalizer(std::shared_ptr<const SentencePieceModel> model, std::shared_ptr<const PieceTrie> symbols);
  void normalize(NormalizedText& text) const override;
  /// Only the name: writing a tokenizer.json fails at the model that goes with it.
  Json to_json() const override;

 private:
  std::shared_ptr<const SentencePieceModel> model_;
  std::shared_ptr<const PieceTrie> symbols_;
  CharsMap map_;
};

DecoderPtr make_sentencepiece_decoder(std::shared_ptr<const SentencePieceModel> model);

}  // namespace mica
