#pragma once
// A model turns one word into tokens.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mica/base/json.h"
#include "mica/tokenizers/models/vocabulary.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {

struct ModelToken {
  int32_t id;
  uint32_t begin, end;  ///< bytes of the word
};

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  virtual const char* type() const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  /// Appends the tokens of a word (valid UTF-8, not empty). Throws Error when the word is unknown and the model has no
  /// unknown token.
  virtual void tokenize(std::string_view word, std::vector<ModelToken>& out) const = 0;
  /// The "model" object without its vocabulary, which save writes itself.
  virtual Json settings() const = 0;
};

using TokenModelPtr = std::shared_ptr<const TokenModel>;

/// Reads the "model" object; the reader has already streamed the vocabulary out of it.
TokenModelPtr make_model(Fields fields, std::shared_ptr<const Vocabulary> vocabulary);

}  // namespace mica
