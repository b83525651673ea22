#include "mica/tokenizers/models/word_level.h"

#include <utility>

#include "mica/base/error.h"

namespace mica {

WordLevel::WordLevel(std::shared_ptr<const Vocabulary> vocabulary, std::string unk_token)
    : vocabulary_(std::move(vocabulary)), unk_token_(std::move(unk_token)), unk_id_(vocabulary_->find(unk_token_)) {}

void WordLevel::tokenize(std::string_view word, std::vector<ModelToken>& out) const {
  const auto end = static_cast<uint32_t>(word.size());
  if (const auto id = vocabulary_->find(word)) {
    out.push_back({*id, 0, end});
  } else if (unk_id_) {
    out.push_back({*unk_id_, 0, end});
  } else {
    throw Error("unknown word, and the vocabulary lacks the unknown token \"" + printable(unk_token_, 60) + "\"",
                "WordLevel", "add the unknown token to the vocabulary");
  }
}

Json WordLevel::to_json() const {
  return {{"type", "WordLevel"}, {"unk_token", unk_token_}, {"vocab", vocabulary_json(*vocabulary_)}};
}

}  // namespace mica
