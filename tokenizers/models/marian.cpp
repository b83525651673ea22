#include "mica/tokenizers/models/marian.h"

#include <utility>

#include "mica/tokenizers/python_only.h"

namespace mica {

Marian::Marian(std::shared_ptr<const SentencePiece> pieces, std::shared_ptr<const Vocabulary> vocabulary,
               int32_t unk_id)
    : pieces_(std::move(pieces)), vocabulary_(std::move(vocabulary)), unk_id_(unk_id) {}

void Marian::tokenize(std::string_view text, std::vector<ModelToken>& out) const {
  const size_t first = out.size();
  pieces_->tokenize(text, out);
  for (size_t i = first; i < out.size(); ++i) {
    ModelToken& token = out[i];
    // An unknown piece is the text that it stands for, which the vocabulary may have all the same.
    const std::string_view piece = token.id == pieces_->surface_id() ? text.substr(token.begin, token.end - token.begin)
                                                                     : pieces_->vocabulary().token(token.id);
    token.id = vocabulary_->find(piece).value_or(unk_id_);
  }
}

Json Marian::to_json() const {
  no_tokenizer_json();
}

}  // namespace mica
