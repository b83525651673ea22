#pragma once
// Byte-pair encoding as subword-nmt writes it: pairs are joined in words that end in </w>; of what comes out every part
// but a word's last is spelled with @@ behind it, and only then looked up. Words are whatever white space lies between,
// with a line end behind them. CTRL, PhoBERT, BERTweet and Blenderbot's small models. With marked ends (XLM and its
// relatives) a word's last part is spelled with </w> instead, and words come from the pre-tokenizer.

#include <memory>
#include <vector>

#include "mica/tokenizers/decoders.h"
#include "mica/tokenizers/models/bpe.h"
#include "mica/tokenizers/python_text.h"

namespace mica {

class MarkedBpe : public TokenModel {
 public:
  struct Settings {
    int32_t unk_id = 0;
    bool separators_are_white = false;  ///< U+001C to U+001F end a word
    /// Blenderbot's: punctuation and apostrophes are cut off, line ends are __newln__, lower case.
    bool blenderbot = false;
    bool marks_ends = false;  ///< the text is one word; its last part has </w> behind it, and nothing has @@
  };
  /// `file` names the merges in errors.
  MarkedBpe(std::shared_ptr<const Vocabulary> vocabulary, const Merges& merges, Settings settings,
            const std::string& file);

  const char* type() const override { return "MarkedBPE"; }
  const Vocabulary& vocabulary() const override { return *vocabulary_; }
  void tokenize(std::string_view text, std::vector<ModelToken>& out) const override;
  /// Throws Error: tokenizer.json has no component that does this.
  Json to_json() const override;

 private:
  void cut_words(std::string_view text, std::vector<ModelToken>& out) const;
  void cut(const std::vector<PlacedCharacter>& word, std::vector<ModelToken>& out) const;
  void cut_blenderbot(const std::vector<PlacedCharacter>& word, std::vector<ModelToken>& out) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  Settings settings_;
  std::unique_ptr<const Bpe> pairs_;  // over the parts of the merges; only where it cuts counts
};

/// Tokens with blanks between, what @@ marks joined, no white space at the ends.
DecoderPtr make_marked_decoder();
/// Tokens without blanks between, each </w> a blank, no white space at the ends.
DecoderPtr make_marked_ends_decoder();

}  // namespace mica
