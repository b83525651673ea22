#include "mica/tokenizers/models/model.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/models/word_level.h"
#include "mica/tokenizers/models/wordpiece.h"

namespace mica {

TokenModelPtr make_model(Fields fields, std::shared_ptr<const Vocabulary> vocabulary) {
  if (!vocabulary) fields.fail("missing key " + fields.path() + ".vocab", "give the vocabulary as an object of ids");
  // Files of the first versions leave the type out; what else they hold tells it.
  std::string type = fields.string("type", fields.has("continuing_subword_prefix") ? "WordPiece" : "");
  TokenModelPtr made;
  if (type == "WordPiece") {
    WordPiece::Settings settings;
    settings.unk_token = fields.string("unk_token", "[UNK]");
    settings.continuing_subword_prefix = fields.string("continuing_subword_prefix", "##");
    settings.max_input_chars_per_word = fields.integer("max_input_chars_per_word", 0, 1'000'000, 100);
    made = std::make_shared<WordPiece>(std::move(vocabulary), std::move(settings));
  } else if (type == "WordLevel") {
    made = std::make_shared<WordLevel>(std::move(vocabulary), fields.string("unk_token"));
  } else {
    fields.fail(type.empty() ? "missing key " + fields.path() + ".type"
                             : "unknown model \"" + printable(type, 60) + "\" at " + fields.path() + ".type",
                "known are WordLevel and WordPiece");
  }
  fields.finish();
  return made;
}

}  // namespace mica
