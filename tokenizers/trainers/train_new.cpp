// A tokenizer like another one, trained anew.

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/tokenizer_impl.h"
#include "mica/tokenizers/trainers/train_json.h"
#include "mica/tokenizers/trainers/training.h"

namespace mica {
namespace {

using Renames = std::map<std::string, std::string>;

std::string renamed(const std::string& token, const Renames& renames) {
  const auto it = renames.find(token);
  return it == renames.end() ? token : it->second;
}

// The ids of the trained tokenizer's tokens, for what names tokens outside the model.
int64_t id_of(const Engine& engine, const std::string& token) {
  const auto id = engine.find(token);
  if (!id) {
    throw Error("the post-processor names \"" + printable(token, 60) + "\", which is no token of the new tokenizer",
                "training", "keep it as a special token, or rename it in special_tokens_map");
  }
  return *id;
}

void renumber(Json& processor, const Engine& engine, const Renames& renames) {
  if (!processor.is_object()) return;
  if (const auto parts = processor.find("processors"); parts != processor.end()) {
    for (Json& part : *parts) renumber(part, engine, renames);
  }
  if (const auto special = processor.find("special_tokens"); special != processor.end()) {
    for (Json& entry : *special) {
      Json ids = Json::array();
      for (Json& token : entry["tokens"]) {
        token = renamed(token.get<std::string>(), renames);
        ids.push_back(id_of(engine, token.get<std::string>()));
      }
      entry["ids"] = std::move(ids);
    }
  }
  for (const char* const key : {"cls", "sep"}) {
    const auto place = processor.find(key);
    if (place == processor.end()) continue;
    const std::string token = renamed((*place)[0].get<std::string>(), renames);
    *place = Json::array({token, id_of(engine, token)});
  }
}

}  // namespace

Tokenizer Tokenizer::train_new_from_iterator(TextSource texts, int64_t vocab_size,
                                             const std::vector<AddedToken>& new_special_tokens,
                                             const Renames& special_tokens_map) const {
  return train_new_from_iterator(std::move(texts), vocab_size, new_special_tokens, special_tokens_map,
                                 TrainerOptions());
}

Tokenizer Tokenizer::train_new_from_iterator(TextSource texts, int64_t vocab_size,
                                             const std::vector<AddedToken>& new_special_tokens,
                                             const Renames& special_tokens_map, const TrainerOptions& options) const {
  const Engine& old = *impl_->engine;
  JsonTraining training;
  training.vocab_size = vocab_size;
  Json model = old.model->to_json();
  const bool unigram = model.at("type") == "Unigram";
  if (unigram && model["unk_id"].is_number()) {
    const auto id = model["unk_id"].get<int32_t>();
    training.unk_token = renamed(std::string(old.model->vocabulary().token(id)), special_tokens_map);
  }
  if (const auto unk = model.find("unk_token"); unk != model.end() && unk->is_string()) {
    *unk = renamed(unk->get<std::string>(), special_tokens_map);
  }
  model.erase("vocab");
  model.erase("merges");
  for (const auto& [id, added] : old.added.by_id()) {
    // A unigram tokenizer takes all of them along: its pieces of text need not be pieces of the model.
    if (!added.special && !unigram) continue;
    AddedToken token = added;
    token.content = renamed(token.content, special_tokens_map);
    training.special_tokens.push_back(std::move(token));
  }
  training.special_tokens.insert(training.special_tokens.end(), new_special_tokens.begin(), new_special_tokens.end());

  Json json = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", Json::array()}};
  json["normalizer"] = old.normalizer ? old.normalizer->to_json() : Json(nullptr);
  json["pre_tokenizer"] = old.pre_tokenizer ? old.pre_tokenizer->to_json() : Json(nullptr);
  json["post_processor"] = nullptr;
  json["decoder"] = old.decoder ? old.decoder->to_json() : Json(nullptr);
  json["model"] = std::move(model);
  train_json(json, texts, training, options);

  auto engine = read_tokenizer_json(dump_json(json), "trained tokenizer");
  Json processor = old.post_processor.to_json();
  renumber(processor, *engine, special_tokens_map);
  if (processor.is_object()) {
    engine->post_processor = PostProcessor(Fields(processor, "trained tokenizer", "post_processor"));
  }
  engine->truncation = old.truncation;
  engine->padding = old.padding;
  if (engine->padding) {
    engine->padding->pad_token = renamed(engine->padding->pad_token, special_tokens_map);
    if (const auto id = engine->find(engine->padding->pad_token)) engine->padding->pad_id = *id;
  }

  TokenizerSettings settings = impl_->settings;
  for (const NamedToken& named : named_special_tokens()) {
    if (auto& value = settings.special.*named.value) value = renamed(*value, special_tokens_map);
  }
  auto& more = settings.special.additional_special_tokens;
  for (std::string& token : more) token = renamed(token, special_tokens_map);
  for (const AddedToken& token : new_special_tokens) {
    if (std::find(more.begin(), more.end(), token.content) == more.end()) more.push_back(token.content);
  }
  mica::add_special_tokens(*engine, settings.special);
  engine->prepare();
  return Tokenizer(std::make_shared<Impl>(Impl{std::move(engine), std::move(settings)}));
}

}  // namespace mica
