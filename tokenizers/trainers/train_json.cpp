#include "mica/tokenizers/trainers/train_json.h"

#include <algorithm>
#include <map>
#include <utility>

#include "mica/base/error.h"
#include "mica/tokenizers/byte_level.h"
#include "mica/tokenizers/trainers/bpe_trainer.h"
#include "mica/tokenizers/trainers/unigram_trainer.h"
#include "mica/tokenizers/trainers/word_counter.h"
#include "mica/tokenizers/trainers/word_level_trainer.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

// Throws for an option that is given and that is not among those of the model's trainer.
void check_options(const std::string& model, const TrainerOptions& options) {
  const bool merges = model == "BPE" || model == "WordPiece";
  const auto check = [&](const char* name, bool given, bool known) {
    if (given && !known) {
      throw Error(std::string("trainers of ") + model + " have no " + name, "training options", "leave it out");
    }
  };
  check("min_frequency", options.min_frequency.has_value(), merges || model == "WordLevel");
  check("limit_alphabet", options.limit_alphabet.has_value(), merges);
  check("initial_alphabet", options.initial_alphabet.has_value(), merges || model == "Unigram");
  check("continuing_subword_prefix", options.continuing_subword_prefix.has_value(), merges);
  check("end_of_word_suffix", options.end_of_word_suffix.has_value(), merges);
  check("max_token_length", options.max_token_length.has_value(), model == "BPE");
  check("shrinking_factor", options.shrinking_factor.has_value(), model == "Unigram");
  check("n_sub_iterations", options.n_sub_iterations.has_value(), model == "Unigram");
  check("max_piece_length", options.max_piece_length.has_value(), model == "Unigram");
  check("seed_size", options.seed_size.has_value(), model == "Unigram");
}

bool has_byte_level(const Json& pre_tokenizer) {
  if (!pre_tokenizer.is_object()) return false;
  if (pre_tokenizer.at("type") == "ByteLevel") return true;
  if (!pre_tokenizer.contains("pretokenizers")) return false;
  const Json& parts = pre_tokenizer.at("pretokenizers");
  return std::any_of(parts.begin(), parts.end(), [](const Json& part) { return part.at("type") == "ByteLevel"; });
}

// All 256 of them for bytes, whatever else was asked for, as the reference has it.
std::u32string alphabet_of(const Json& tokenizer, const TrainerOptions& options) {
  std::u32string alphabet;
  if (has_byte_level(tokenizer["pre_tokenizer"])) {
    for (int byte = 0; byte < 256; ++byte) alphabet += byte_level::spelling(static_cast<unsigned char>(byte));
    return alphabet;
  }
  std::string storage;
  const std::string given = options.initial_alphabet.value_or("");
  const std::string_view text = utf8::valid(given, storage);
  for (const char *p = text.data(), *end = p + text.size(); p < end;) alphabet += utf8::next(p);
  return alphabet;
}

std::string text_setting(const Json& model, const char* key, const std::string& fallback) {
  const auto it = model.find(key);
  return it != model.end() && it->is_string() ? it->get<std::string>() : fallback;
}

// Tokens of ids 0, 1, ... as an object. Straight into the list: the object's own insertion looks for the key first.
Json ids_of(const std::vector<std::string>& tokens) {
  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();
  for (const std::string& token : tokens) entries.emplace_back(token, entries.size());
  return vocab;
}

void train_merges(Json& tokenizer, const WordCounts& words, const JsonTraining& training,
                  const std::vector<std::string>& special, const TrainerOptions& options) {
  Json& model = tokenizer["model"];
  const bool wordpiece = model.at("type") == "WordPiece";
  BpeTraining bpe;
  bpe.vocab_size = training.vocab_size;
  bpe.special_tokens = special;
  bpe.min_frequency = options.min_frequency.value_or(0);
  bpe.limit_alphabet = options.limit_alphabet;
  bpe.initial_alphabet = alphabet_of(tokenizer, options);
  bpe.max_token_length = options.max_token_length;
  bpe.progress = options.progress;
  bpe.continuing_subword_prefix = options.continuing_subword_prefix.value_or(
      wordpiece ? "##" : text_setting(model, "continuing_subword_prefix", ""));
  bpe.end_of_word_suffix = options.end_of_word_suffix.value_or(text_setting(model, "end_of_word_suffix", ""));
  const BpeVocabulary trained = train_bpe(words, bpe);
  model["vocab"] = ids_of(trained.tokens);
  if (wordpiece) {
    model["continuing_subword_prefix"] = bpe.continuing_subword_prefix;
    return;
  }
  const auto set = [&](const char* key, const std::string& value) {
    model[key] = value.empty() ? Json(nullptr) : Json(value);
  };
  set("continuing_subword_prefix", bpe.continuing_subword_prefix);
  set("end_of_word_suffix", bpe.end_of_word_suffix);
  Json& merges = model["merges"] = Json::array();
  for (const auto& [first, second] : trained.merges) {
    merges.push_back(Json::array({trained.tokens[first], trained.tokens[second]}));
  }
}

void train_pieces(Json& tokenizer, const WordCounts& words, const JsonTraining& training,
                  const std::vector<std::string>& special, const TrainerOptions& options) {
  UnigramTraining unigram;
  unigram.vocab_size = training.vocab_size;
  unigram.special_tokens = special;
  unigram.initial_alphabet = alphabet_of(tokenizer, options);
  unigram.unk_token = training.unk_token;
  unigram.shrinking_factor = options.shrinking_factor.value_or(unigram.shrinking_factor);
  unigram.n_sub_iterations = options.n_sub_iterations.value_or(unigram.n_sub_iterations);
  unigram.max_piece_length = options.max_piece_length.value_or(unigram.max_piece_length);
  unigram.seed_size = options.seed_size.value_or(unigram.seed_size);
  unigram.progress = options.progress;
  const UnigramVocabulary trained = train_unigram(words, unigram);
  Json vocab = Json::array();
  for (const auto& [piece, score] : trained.pieces) vocab.push_back(Json::array({piece, score}));
  Json& model = tokenizer["model"];
  model["unk_id"] = trained.unk_id ? Json(*trained.unk_id) : Json(nullptr);
  model["byte_fallback"] = false;  // nothing has trained the bytes
  model["vocab"] = std::move(vocab);
}

void train_words(Json& tokenizer, const WordCounts& words, const JsonTraining& training,
                 const std::vector<std::string>& special, const TrainerOptions& options) {
  WordLevelTraining level;
  level.vocab_size = training.vocab_size;
  level.special_tokens = special;
  level.min_frequency = options.min_frequency.value_or(0);
  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();
  for (auto& [token, id] : train_word_level(words, level)) entries.emplace_back(std::move(token), id);
  tokenizer["model"]["vocab"] = std::move(vocab);
}

// Special tokens have the model's ids, or else the next free ones.
void add_special(Json& tokenizer, const std::vector<AddedToken>& tokens) {
  std::map<std::string, int64_t> ids;
  const Json& vocab = tokenizer["model"]["vocab"];
  int64_t position = 0;
  for (const auto& [key, value] : vocab.items()) {
    if (vocab.is_array()) {
      ids[value[0].get<std::string>()] = position++;
    } else {
      ids[key] = value.get<int64_t>();
    }
  }
  auto next = static_cast<int64_t>(vocab.size());
  std::map<int64_t, const AddedToken*> by_id;
  for (const AddedToken& token : tokens) {
    const auto it = ids.find(token.content);
    by_id.emplace(it != ids.end() ? it->second : next++, &token);
  }
  Json& added = tokenizer["added_tokens"] = Json::array();
  for (const auto& [id, token] : by_id) {
    added.push_back({{"id", id},
                     {"content", token->content},
                     {"single_word", token->single_word},
                     {"lstrip", token->lstrip},
                     {"rstrip", token->rstrip},
                     {"normalized", token->normalized},
                     {"special", true}});
  }
}

}  // namespace

void train_json(Json& tokenizer, TextSource& texts, const JsonTraining& training, const TrainerOptions& options) {
  const std::string model = tokenizer.at("model").at("type").get<std::string>();
  check_options(model, options);
  std::vector<AddedToken> special_tokens;
  std::vector<std::string> special;
  for (const AddedToken& token : training.special_tokens) {
    if (token.content.empty() || !utf8::is_valid(token.content)) {
      throw Error("a special token is empty or not UTF-8", "training", "give it some text");
    }
    if (std::find(special.begin(), special.end(), token.content) != special.end()) continue;
    special.push_back(token.content);
    special_tokens.push_back(token);
  }
  NormalizerPtr normalizer;
  PreTokenizerPtr pre_tokenizer;
  if (const Json& json = tokenizer["normalizer"]; json.is_object()) {
    normalizer = make_normalizer(Fields(json, "tokenizer", "normalizer"));
  }
  if (const Json& json = tokenizer["pre_tokenizer"]; json.is_object()) {
    pre_tokenizer = make_pre_tokenizer(Fields(json, "tokenizer", "pre_tokenizer"));
  }
  WordCounter counter(std::move(normalizer), std::move(pre_tokenizer));
  counter.add(texts);
  const WordCounts words = counter.finish();
  if (words.words.empty()) throw Error("there is no word in the texts", "training", "give texts that are not empty");

  if (model == "BPE" || model == "WordPiece") {
    train_merges(tokenizer, words, training, special, options);
  } else if (model == "Unigram") {
    train_pieces(tokenizer, words, training, special, options);
  } else if (model == "WordLevel") {
    train_words(tokenizer, words, training, special, options);
  } else {
    throw Error("there is no trainer for models of type " + printable(model, 60), "training",
                "known are BPE, Unigram, WordLevel and WordPiece");
  }
  add_special(tokenizer, special_tokens);
}

}  // namespace mica
