#pragma once
// What CPM does around SentencePiece's cutting: the text cleaned, numbers cut before a comma, and blanks and line ends
// as two characters of their own.

#include <memory>
#include <unordered_map>
#include <vector>

#include "mica/tokenizers/decoders.h"
#include "mica/tokenizers/models/sentencepiece.h"
#include "mica/tokenizers/normalizers.h"

namespace mica {

class CpmNormalizer : public Normalizer {
 public:
  struct Settings {
    bool joins_white = true;  ///< runs of white space to a blank, none at the ends
    bool keeps_accents = false;
    bool lowers = false;
  };
  explicit CpmNormalizer(Settings settings) : settings_(settings) {}
  void normalize(NormalizedText& text) const override;
  Json to_json() const override { return {{"type", "CPM"}}; }

 private:
  Settings settings_;
};

/// A piece like "5," is cut once more, into what the model makes of the number, and the comma.
class CpmPieces : public TokenModel {
 public:
  explicit CpmPieces(const std::shared_ptr<const SentencePieceModel>& model);
  const char* type() const override { return "CPMPieces"; }
  const Vocabulary& vocabulary() const override { return pieces_->vocabulary(); }
  void tokenize(std::string_view text, std::vector<ModelToken>& out) const override;
  int32_t surface_id() const override { return pieces_->surface_id(); }
  /// Throws Error: tokenizer.json has no component that does this.
  Json to_json() const override;

 private:
  std::shared_ptr<const SentencePiece> pieces_;
  std::unordered_map<int32_t, std::vector<int32_t>> cut_again_;
};

/// No blanks but those that U+2582 stands for; U+2583 is a line end.
DecoderPtr make_cpm_decoder();

}  // namespace mica
