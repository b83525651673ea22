#pragma once
// WordPiece: a word is cut from the left, each time the longest piece that the vocabulary has; a word that cannot be
// cut to its end is one unknown token.

#include "mica/tokenizers/models/model.h"
#include "mica/tokenizers/models/piece_trie.h"

namespace mica {

class WordPiece : public TokenModel {
 public:
  struct Settings {
    std::string unk_token = "[UNK]";
    std::string continuing_subword_prefix = "##";
    int64_t max_input_chars_per_word = 100;  ///< longer words are unknown
  };
  WordPiece(std::shared_ptr<const Vocabulary> vocabulary, Settings settings, ImageReader* image = nullptr);

  const char* type() const override { return "WordPiece"; }
  const Vocabulary& vocabulary() const override { return *vocabulary_; }
  void tokenize(std::string_view word, std::vector<ModelToken>& out) const override;
  Json to_json() const override;
  bool write(ImageWriter& image) const override {
    trie_.write(image);
    return true;
  }

  const Settings& options() const { return settings_; }
  /// The unknown token's id; throws Error when the vocabulary lacks it.
  int32_t unk_id() const;
  const PieceTrie& trie() const { return trie_; }

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  Settings settings_;
  std::optional<int32_t> unk_id_;
  PieceTrie trie_;
};

}  // namespace mica
