#include "mica/tokenizers/models/wordpiece.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/utf8.h"

namespace mica {

WordPiece::WordPiece(std::shared_ptr<const Vocabulary> vocabulary, Settings settings, ImageReader* image)
    : vocabulary_(std::move(vocabulary)),
      settings_(std::move(settings)),
      unk_id_(vocabulary_->find(settings_.unk_token)),
      trie_(image != nullptr ? PieceTrie(*image) : PieceTrie(*vocabulary_, settings_.continuing_subword_prefix)) {}

int32_t WordPiece::unk_id() const {
  if (!unk_id_) {
    throw Error(
        "unknown word, and the vocabulary lacks the unknown token \"" + printable(settings_.unk_token, 60) + "\"",
        "WordPiece", "add the unknown token to the vocabulary");
  }
  return *unk_id_;
}

void WordPiece::tokenize(std::string_view word, std::vector<ModelToken>& out) const {
  const auto size = static_cast<uint32_t>(word.size());
  const auto limit = static_cast<size_t>(settings_.max_input_chars_per_word);
  const size_t first = out.size();
  if (word.size() <= limit || utf8::count(word) <= limit) {
    uint32_t at = 0;
    while (at < size) {
      const PieceTrie::Match match = trie_.longest(word.substr(at), at > 0);
      if (match.length == 0) break;
      out.push_back({match.id, at, at + match.length});
      at += match.length;
    }
    if (at == size) return;
    out.resize(first);
  }
  out.push_back({unk_id(), 0, size});
}

Json WordPiece::to_json() const {
  return {{"type", "WordPiece"},
          {"unk_token", settings_.unk_token},
          {"continuing_subword_prefix", settings_.continuing_subword_prefix},
          {"max_input_chars_per_word", settings_.max_input_chars_per_word},
          {"vocab", vocabulary_json(*vocabulary_)}};
}

}  // namespace mica
