#include "mica/tokenizers/readers/folder.h"

#include <optional>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/readers/byte_ranks.h"
#include "mica/tokenizers/readers/classes.h"
#include "mica/tokenizers/readers/tokenizer_image.h"

namespace mica {
namespace {

std::string class_name(const Json& config, const std::string& file) {
  const auto it = config.find("tokenizer_class");
  if (it == config.end() || it->is_null()) return {};
  if (!it->is_string()) {
    throw Error("key tokenizer_class is not a string", printable(file, 400), "mend the file or fetch it again");
  }
  std::string name = it->get<std::string>();
  if (name.size() > 4 && name.compare(name.size() - 4, 4, "Fast") == 0) name.resize(name.size() - 4);
  return name;
}

std::string model_type(const std::string& folder) {
  const Json config = read_json_if_there(join_path(folder, "config.json"));
  const auto it = config.find("model_type");
  return it != config.end() && it->is_string() ? it->get<std::string>() : std::string();
}

[[noreturn]] void no_files(const std::string& folder, const std::string& name, const TokenizerClass* known) {
  if (known != nullptr && !name.empty()) {
    std::string sets;
    for (const std::string& set : known->files()) sets += (sets.empty() ? "" : ", or ") + set;
    throw Error("no tokenizer found: neither tokenizer.json nor what " + name + " reads (" + sets + ")",
                printable(folder, 400), "fetch the folder again, or name another");
  }
  if (!name.empty()) {
    throw Error(
        "tokenizer class \"" + printable(name, 60) + "\" has no reader for older files, and there is no tokenizer.json",
        printable(folder, 400), "save the tokenizer with a tokenizer.json beside it");
  }
  throw Error("no tokenizer found: neither tokenizer.json nor vocab.txt", printable(folder, 400),
              "name a model folder that holds one of them");
}

std::optional<std::string> language(const Json& config, const char* key, const std::string& file) {
  return config.contains(key) ? Fields(config, file, "tokenizer_config").optional_string(key) : std::nullopt;
}

// src_lang and tgt_lang. A tokenizer.json says what goes around a text, unless tokenizer_config.json names a language.
void mark_languages(const TokenizerClass& tokenizer_class, bool has_json, const std::string& file,
                    LoadedTokenizer& loaded) {
  TokenizerSettings& settings = loaded.settings;
  auto source = language(settings.config, "src_lang", file);
  auto target = language(settings.config, "tgt_lang", file);
  if (!target) target = tokenizer_class.usual_target();
  if (!source) source = tokenizer_class.usual_source(settings, file);
  if (source || !has_json)
    loaded.engine->post_processor = tokenizer_class.around(*loaded.engine, settings, source, file);
  if (target || (source && tokenizer_class.plain_targets)) {
    auto engine = std::make_shared<Engine>(*loaded.engine);
    engine->post_processor = tokenizer_class.around_target(*engine, settings, target, file);
    engine->prepare();
    settings.target = std::move(engine);
  }
}

}  // namespace

TokenizerSettings settings_without_config(const Engine& engine) {
  TokenizerSettings settings;
  SpecialTokens usual;
  fill_defaults(find_tokenizer_class("BertTokenizer")->tokens, usual);
  for (const NamedToken& named : named_special_tokens()) {
    const auto& token = usual.*named.value;
    const auto id = token ? engine.added.find(*token) : std::nullopt;
    if (id && engine.added.token(*id)->special) settings.special.*named.value = token;
  }
  if (engine.padding) {
    settings.padding_side = engine.padding->direction;
    settings.pad_token_type_id = engine.padding->pad_type_id;
    if (!settings.special.pad_token && engine.find(engine.padding->pad_token)) {
      settings.special.pad_token = engine.padding->pad_token;
    }
  }
  if (engine.truncation) settings.truncation_side = engine.truncation->direction;
  settings.model_input_names = {"input_ids", "token_type_ids", "attention_mask"};
  return settings;
}

LoadedTokenizer load_tokenizer_folder(const std::string& folder) {
  const std::string json_path = join_path(folder, "tokenizer.json");
  const std::string config_path = join_path(folder, "tokenizer_config.json");
  const Json config = read_json_if_there(config_path);
  const std::string name = class_name(config, config_path);
  // Of the model's own config only its type matters here, and only where nothing else tells the class.
  const TokenizerClass* const tokenizer_class =
      name.empty() ? guess_tokenizer_class(folder, model_type(folder)) : find_tokenizer_class(name);
  LoadedTokenizer loaded;
  loaded.settings = read_settings(config, config_path, tokenizer_class);
  TokenizerSettings& settings = loaded.settings;
  if (!name.empty()) settings.tokenizer_class = name;
  settings.chat_templates = read_chat_templates(folder, config, config_path);
  const SpecialSource source = read_special_tokens(config, config_path, join_path(folder, "special_tokens_map.json"));
  settings.special = source.special;
  if (tokenizer_class != nullptr) fill_defaults(tokenizer_class->tokens, settings.special);

  std::optional<TokenizerImage> image;
  if (file_exists(json_path)) {
    loaded.engine = image.emplace(json_path).read();
    if (config.empty() && tokenizer_class == nullptr) {
      const TokenizerSettings usual = settings_without_config(*loaded.engine);
      for (const NamedToken& named : named_special_tokens()) {
        auto& value = settings.special.*named.value;
        if (!value) value = usual.special.*named.value;
      }
    }
    if (tokenizer_class != nullptr) tokenizer_class->adjust(*loaded.engine, settings, config_path);
  } else if (const auto ranks = find_rank_file(folder)) {
    const std::string text = read_file(*ranks);
    loaded.engine = is_tekken(text) ? read_tekken(text, *ranks) : read_tiktoken(text, *ranks);
    const SpecialTokens usual = special_tokens_of_ranks(*loaded.engine);
    for (const NamedToken& named : named_special_tokens()) {
      auto& value = settings.special.*named.value;
      if (!value || !loaded.engine->find(*value)) value = usual.*named.value;
    }
  } else if (tokenizer_class != nullptr && !files_of_class(*tokenizer_class, folder).empty()) {
    loaded.engine = tokenizer_class->read(folder, settings);
    add_from_legacy_file(join_path(folder, "added_tokens.json"), settings.special, *loaded.engine);
  } else {
    no_files(folder, name, tokenizer_class);
  }

  Engine& engine = *loaded.engine;
  if (engine.padding && !config.contains("padding_side")) settings.padding_side = engine.padding->direction;
  if (engine.truncation && !config.contains("truncation_side")) settings.truncation_side = engine.truncation->direction;
  add_from_decoder(config, config_path, engine);
  engine.added.add(source.with_flags, engine.model->vocabulary());
  // Default names that the vocabulary lacks are no tokens of this model.
  for (const NamedToken& named : named_special_tokens()) {
    auto& value = settings.special.*named.value;
    if (value && !(source.special.*named.value) && !engine.find(*value)) value.reset();
  }
  add_special_tokens(engine, settings.special, tokenizer_class != nullptr && tokenizer_class->lstrip_mask);
  if (tokenizer_class != nullptr && tokenizer_class->marks_languages()) {
    mark_languages(*tokenizer_class, image.has_value(), config_path, loaded);
  }
  image ? image->prepare(engine) : engine.prepare();
  return loaded;
}

}  // namespace mica
