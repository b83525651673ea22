#include "mica/tokenizers/models/model.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/models/word_level.h"
#include "mica/tokenizers/models/wordpiece.h"

namespace mica {

Json vocabulary_json(const Vocabulary& vocabulary) {
  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();
  entries.reserve(static_cast<size_t>(vocabulary.size()));
  for (int64_t id = 0; id < vocabulary.id_bound(); ++id) {
    const auto i = static_cast<int32_t>(id);
    // Straight into the list: the map's own insertion would look for the key among all those before.
    if (vocabulary.contains(i)) entries.emplace_back(std::string(vocabulary.token(i)), i);
  }
  return vocab;
}

TokenModelPtr make_model(Fields fields, ModelData data) {
  if (!data.vocabulary)
    fields.fail("missing key " + fields.path() + ".vocab", "give the vocabulary as an object of ids");
  // Files of the first versions leave the type out; what else they hold tells it.
  std::string type = fields.string("type", fields.has("continuing_subword_prefix") ? "WordPiece" : "");
  if (data.scored && (type == "WordPiece" || type == "WordLevel")) {
    fields.fail(fields.path() + ".vocab is a list of scores", "give the vocabulary as an object of ids");
  }
  if (data.merges.size() > 0 && (type == "WordPiece" || type == "WordLevel")) {
    fields.fail(fields.path() + ".merges belong to no " + type, "remove them");
  }
  TokenModelPtr made;
  if (type == "WordPiece") {
    WordPiece::Settings settings;
    settings.unk_token = fields.string("unk_token", "[UNK]");
    settings.continuing_subword_prefix = fields.string("continuing_subword_prefix", "##");
    settings.max_input_chars_per_word = fields.integer("max_input_chars_per_word", 0, 1'000'000, 100);
    made = std::make_shared<WordPiece>(std::move(data.vocabulary), std::move(settings));
  } else if (type == "WordLevel") {
    made = std::make_shared<WordLevel>(std::move(data.vocabulary), fields.string("unk_token"));
  } else {
    fields.fail(type.empty() ? "missing key " + fields.path() + ".type"
                             : "unknown model \"" + printable(type, 60) + "\" at " + fields.path() + ".type",
                "known are WordLevel and WordPiece");
  }
  fields.finish();
  return made;
}

}  // namespace mica
