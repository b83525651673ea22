#include "mica/tokenizers/models/model.h"

#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/models/bpe.h"
#include "mica/tokenizers/models/unigram.h"
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

namespace {

TokenModelPtr read_bpe(Fields& fields, ModelData data) {
  Bpe::Settings settings;
  if (const Json& dropout = fields.optional_raw("dropout"); !dropout.is_null()) {
    if (!dropout.is_number() || !(dropout.get<double>() >= 0 && dropout.get<double>() <= 1)) {
      fields.fail(fields.path() + ".dropout is not a number from 0 to 1", "use a chance, or null");
    }
    settings.dropout = dropout.get<double>();
  }
  settings.unk_token = fields.optional_string("unk_token");
  settings.continuing_subword_prefix = fields.optional_string("continuing_subword_prefix");
  settings.end_of_word_suffix = fields.optional_string("end_of_word_suffix");
  settings.fuse_unk = fields.boolean("fuse_unk", false);
  settings.byte_fallback = fields.boolean("byte_fallback", false);
  settings.ignore_merges = fields.boolean("ignore_merges", false);
  if (data.image != nullptr) {
    return std::make_shared<Bpe>(std::move(data.vocabulary), *data.image, std::move(settings));
  }
  return std::make_shared<Bpe>(std::move(data.vocabulary), data.merges, std::move(settings), fields.file());
}

}  // namespace

TokenModelPtr make_model(Fields fields, ModelData data) {
  if (!data.vocabulary)
    fields.fail("missing key " + fields.path() + ".vocab", "give the vocabulary as an object of ids");
  // Files of the first versions leave the type out; what else they hold tells it.
  std::string type = fields.string("type", data.has_merges                           ? "BPE"
                                           : fields.has("continuing_subword_prefix") ? "WordPiece"
                                           : data.scored                             ? "Unigram"
                                                                                     : "");
  if (data.scored && (type == "WordPiece" || type == "WordLevel" || type == "BPE")) {
    fields.fail(fields.path() + ".vocab is a list of scores", "give the vocabulary as an object of ids");
  }
  if (!data.scored && type == "Unigram") {
    fields.fail(fields.path() + ".vocab is an object of ids", "give a list of [token, score]");
  }
  if (data.merges.size() > 0 && (type == "WordPiece" || type == "WordLevel" || type == "Unigram")) {
    fields.fail(fields.path() + ".merges belong to no " + type, "remove them");
  }
  TokenModelPtr made;
  if (type == "WordPiece") {
    WordPiece::Settings settings;
    settings.unk_token = fields.string("unk_token", "[UNK]");
    settings.continuing_subword_prefix = fields.string("continuing_subword_prefix", "##");
    settings.max_input_chars_per_word = fields.integer("max_input_chars_per_word", 0, 1'000'000, 100);
    made = std::make_shared<WordPiece>(std::move(data.vocabulary), std::move(settings), data.image);
  } else if (type == "WordLevel") {
    made = std::make_shared<WordLevel>(std::move(data.vocabulary), fields.string("unk_token"));
  } else if (type == "BPE") {
    if (!data.has_merges) fields.fail("missing key " + fields.path() + ".merges", "give the merges as a list of pairs");
    made = read_bpe(fields, std::move(data));
  } else if (type == "Unigram") {
    Unigram::Settings settings;
    Table<double> scores = data.image != nullptr ? data.image->take<double>() : Table<double>(std::move(data.scores));
    const auto size = static_cast<int64_t>(scores.size());
    if (const auto id = fields.optional_integer("unk_id", 0, Vocabulary::kMaxId)) {
      if (*id >= size) {
        fields.fail(fields.path() + ".unk_id is " + std::to_string(*id) + ", beyond the " + std::to_string(size) +
                        " tokens of the vocabulary",
                    "name the id of the unknown token");
      }
      settings.unk_id = static_cast<int32_t>(*id);
    }
    settings.byte_fallback = fields.boolean("byte_fallback", false);
    made = std::make_shared<Unigram>(std::move(data.vocabulary), std::move(scores), settings, data.image);
  } else {
    fields.fail(type.empty() ? "missing key " + fields.path() + ".type"
                             : "unknown model \"" + printable(type, 60) + "\" at " + fields.path() + ".type",
                "known are BPE, Unigram, WordLevel and WordPiece");
  }
  fields.finish();
  return made;
}

}  // namespace mica
