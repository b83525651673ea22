#pragma once
// WordLevel: every word is one token.

#include "mica/tokenizers/models/model.h"

namespace mica {

class WordLevel : public TokenModel {
 public:
  WordLevel(std::shared_ptr<const Vocabulary> vocabulary, std::string unk_token);
  const char* type() const override { return "WordLevel"; }
  const Vocabulary& vocabulary() const override { return *vocabulary_; }
  void tokenize(std::string_view word, std::vector<ModelToken>& out) const override;
  Json to_json() const override;
  bool write(ImageWriter& /*image*/) const override { return true; }

 private:
  std::shared_ptr<const Vocabulary> vocabulary_;
  std::string unk_token_;
  std::optional<int32_t> unk_id_;
};

}  // namespace mica
