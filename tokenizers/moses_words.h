#pragma once
// Words as XLM, FlauBERT, FSMT and BioGPT cut them: Moses' scripts for punctuation, then its tokenizer.

#include "mica/tokenizers/moses_tokenizer.h"
#include "mica/tokenizers/pretokenizers.h"

namespace mica {

class MosesPreTokenizer : public PreTokenizer {
 public:
  struct Settings {
    bool lowers = false;     ///< str.lower before anything else
    bool normalizes = true;  ///< punctuation first
    bool folds = false;      ///< words in lower case and without accents (XLM)
    moses::TokenizerSettings words = {};
  };
  MosesPreTokenizer(const moses::Language& language, Settings settings) : language_(language), settings_(settings) {}
  void split(NormalizedText& text, std::vector<ByteRange>& pieces) const override;
  /// Throws Error: tokenizer.json has no component that does this.
  Json to_json() const override;

 private:
  std::vector<PlacedText> words(PlacedText text) const;

  const moses::Language& language_;
  Settings settings_;
};

}  // namespace mica
