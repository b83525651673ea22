#include "mica/tokenizers/readers/folder.h"

#include <algorithm>
#include <map>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/warnings.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/readers/vocab_txt.h"

namespace mica {
namespace {

constexpr int64_t kMaxConfigBytes = 64 << 20;
// transformers writes int(1e30) for "no limit", and reads anything above 1e20 so; no model is near these.
constexpr double kNoLimit = 1e15;

Json read_json_if_there(const std::string& path) {
  if (!file_exists(path)) return Json::object();
  Json json = parse_json(read_file(path, kMaxConfigBytes), path);
  if (!json.is_object()) throw Error("not a JSON object", printable(path, 400), "mend the file or fetch it again");
  return json;
}

[[noreturn]] void wrong(const std::string& file, const std::string& key, const char* expected) {
  throw Error("key " + printable(key, 60) + " is not " + expected, printable(file, 400),
              "mend the file or fetch it again");
}

bool get_flag(const Json& json, const char* key, bool fallback, const std::string& file) {
  if (!json.contains(key) || json[key].is_null()) return fallback;
  if (!json[key].is_boolean()) wrong(file, key, "true or false");
  return json[key].get<bool>();
}

// A special token is a string, or an object with the token's flags.
AddedToken read_token(const Json& json, bool special, const std::string& key, const std::string& file) {
  AddedToken token;
  token.special = special;
  token.normalized = !special;
  if (json.is_string()) {
    token.content = json.get<std::string>();
    return token;
  }
  if (!json.is_object() || !json.contains("content") || !json["content"].is_string()) {
    wrong(file, key, "a token: a string, or an object with a content");
  }
  token.content = json["content"].get<std::string>();
  token.single_word = get_flag(json, "single_word", false, file);
  token.lstrip = get_flag(json, "lstrip", false, file);
  token.rstrip = get_flag(json, "rstrip", false, file);
  token.normalized = get_flag(json, "normalized", token.normalized, file);
  token.special = get_flag(json, "special", special, file);
  return token;
}

struct SpecialSource {
  SpecialTokens special;
  std::vector<AddedToken> with_flags;  // those given as objects
};

void take_special(const Json& json, const std::string& file, SpecialSource* out) {
  const auto take = [&](const Json& value, const std::string& key) {
    AddedToken token = read_token(value, true, key, file);
    std::string content = token.content;
    if (value.is_object()) {
      token.special = true;
      out->with_flags.push_back(std::move(token));
    }
    return content;
  };
  for (const NamedToken& named : named_special_tokens()) {
    const auto it = json.find(named.name);
    if (it != json.end() && !it->is_null()) out->special.*named.value = take(*it, named.name);
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    const auto it = json.find(key);
    if (it == json.end() || it->is_null()) continue;
    if (!it->is_array() && !it->is_object()) wrong(file, key, "an array or object of tokens");
    for (const auto& [index, value] : it->items()) {
      std::string content = take(value, key);
      auto& all = out->special.additional_special_tokens;
      if (std::find(all.begin(), all.end(), content) == all.end()) all.push_back(std::move(content));
    }
  }
}

Side read_side(const Json& config, const char* key, Side fallback, const std::string& file) {
  if (!config.contains(key) || config[key].is_null()) return fallback;
  if (config[key] == "right") return Side::right;
  if (config[key] == "left") return Side::left;
  wrong(file, key, "\"right\" or \"left\"");
}

std::optional<int64_t> read_max_length(const Json& config, const std::string& file) {
  for (const char* key : {"model_max_length", "max_len"}) {
    if (!config.contains(key) || config[key].is_null()) continue;
    if (!config[key].is_number()) wrong(file, key, "a number");
    const double value = config[key].get<double>();
    if (value > kNoLimit) return std::nullopt;
    if (!(value >= 1)) wrong(file, key, "at least 1");
    return static_cast<int64_t>(value);
  }
  return std::nullopt;
}

// added_tokens_decoder of tokenizer_config.json: {"0": {"content": ...}}.
void add_from_decoder(const Json& config, const std::string& file, Engine& engine) {
  const auto it = config.find("added_tokens_decoder");
  if (it == config.end() || it->is_null()) return;
  if (!it->is_object()) wrong(file, "added_tokens_decoder", "an object");
  std::map<int64_t, AddedToken> tokens;
  for (const auto& [key, value] : it->items()) {
    if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != key.npos) {
      wrong(file, "added_tokens_decoder." + key, "an id");
    }
    tokens.emplace(std::stoll(key), read_token(value, false, "added_tokens_decoder." + key, file));
  }
  std::vector<AddedToken> in_order;
  for (const auto& [id, token] : tokens) in_order.push_back(token);
  engine.added.add(in_order, engine.model->vocabulary());
  for (const auto& [id, token] : tokens) {
    const auto got = engine.find(token.content);
    if (got && *got != id) {
      warn("added token \"" + printable(token.content, 60) + "\" is " + std::to_string(*got) + ", not " +
           std::to_string(id) + " as " + printable(file, 200) + " says");
    }
  }
}

// added_tokens.json: {"<token>": id}.
void add_from_legacy_file(const std::string& path, const SpecialTokens& special, Engine& engine) {
  const Json json = read_json_if_there(path);
  std::map<int64_t, AddedToken> tokens;
  for (const auto& [content, id] : json.items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > Vocabulary::kMaxId) wrong(path, content, "an id");
    AddedToken token;
    token.content = content;
    for (const NamedToken& named : named_special_tokens()) {
      token.special = token.special || special.*named.value == content;
    }
    const auto& more = special.additional_special_tokens;
    token.special = token.special || std::find(more.begin(), more.end(), content) != more.end();
    token.normalized = !token.special;
    if (!tokens.emplace(id.get<int64_t>(), std::move(token)).second) {
      throw Error("two tokens have id " + id.dump(), printable(path, 400), "give each token its own id");
    }
  }
  std::vector<AddedToken> in_order;
  for (const auto& [id, token] : tokens) in_order.push_back(token);
  engine.added.add(in_order, engine.model->vocabulary());
}

std::string class_name(const Json& config, const Json& model_config, const std::string& file) {
  std::string name;
  if (config.contains("tokenizer_class") && !config["tokenizer_class"].is_null()) {
    if (!config["tokenizer_class"].is_string()) wrong(file, "tokenizer_class", "a string");
    name = config["tokenizer_class"].get<std::string>();
  } else if (const auto it = model_config.find("model_type"); it != model_config.end() && it->is_string()) {
    // Folders of the first years name no class; the model's type tells it.
    const std::string type = it->get<std::string>();
    const std::map<std::string, std::string> classes = {{"bert", "BertTokenizer"},
                                                        {"distilbert", "DistilBertTokenizer"},
                                                        {"electra", "ElectraTokenizer"},
                                                        {"mpnet", "MPNetTokenizer"},
                                                        {"mobilebert", "MobileBertTokenizer"},
                                                        {"funnel", "FunnelTokenizer"},
                                                        {"layoutlm", "LayoutLMTokenizer"},
                                                        {"convbert", "ConvBertTokenizer"},
                                                        {"squeezebert", "SqueezeBertTokenizer"},
                                                        {"lxmert", "LxmertTokenizer"},
                                                        {"megatron-bert", "BertTokenizer"},
                                                        {"splinter", "SplinterTokenizer"}};
    if (const auto found = classes.find(type); found != classes.end()) name = found->second;
  }
  if (name.size() > 4 && name.compare(name.size() - 4, 4, "Fast") == 0) name.resize(name.size() - 4);
  return name;
}

void fill_defaults(const WordPieceClass& kind, SpecialTokens& special) {
  const auto fill = [](std::optional<std::string>& token, const char* fallback) {
    if (!token && fallback != nullptr) token = fallback;
  };
  fill(special.cls_token, kind.cls);
  fill(special.sep_token, kind.sep);
  fill(special.unk_token, kind.unk);
  fill(special.pad_token, kind.pad);
  fill(special.mask_token, kind.mask);
  fill(special.bos_token, kind.bos);
  fill(special.eos_token, kind.eos);
}

TokenizerSettings read_settings(const Json& config, const std::string& file, std::string name) {
  TokenizerSettings settings;
  settings.config = config;
  settings.tokenizer_class = std::move(name);
  settings.model_max_length = read_max_length(config, file);
  settings.padding_side = read_side(config, "padding_side", Side::right, file);
  settings.truncation_side = read_side(config, "truncation_side", Side::right, file);
  settings.clean_up_tokenization_spaces = get_flag(config, "clean_up_tokenization_spaces", false, file);
  settings.split_special_tokens = get_flag(config, "split_special_tokens", false, file);
  if (config.contains("pad_token_type_id") && !config["pad_token_type_id"].is_null()) {
    Fields fields(config, file, "tokenizer_config");
    settings.pad_token_type_id = static_cast<int32_t>(fields.integer("pad_token_type_id", 0, 1'000'000));
  }
  const WordPieceClass* kind = find_wordpiece_class(settings.tokenizer_class);
  if (kind != nullptr && kind->type_ids) {
    settings.model_input_names = {"input_ids", "token_type_ids", "attention_mask"};
  }
  if (const auto it = config.find("model_input_names"); it != config.end() && !it->is_null()) {
    settings.model_input_names.clear();
    if (!it->is_array()) wrong(file, "model_input_names", "an array of strings");
    for (const Json& input : *it) {
      if (!input.is_string()) wrong(file, "model_input_names", "an array of strings");
      settings.model_input_names.push_back(input.get<std::string>());
    }
  }
  return settings;
}

}  // namespace

int64_t add_special_tokens(Engine& engine, const SpecialTokens& special, bool lstrip_mask) {
  std::vector<AddedToken> missing;
  int64_t unknown = 0;
  const auto add = [&](const std::string& content, bool lstrip) {
    const auto same = [&](const AddedToken& token) { return token.content == content; };
    if (std::any_of(missing.begin(), missing.end(), same)) return;
    AddedToken token;
    token.content = content;
    token.lstrip = lstrip;
    token.normalized = false;
    token.special = true;
    if (const auto id = engine.added.find(content)) {
      // Flags that the files gave stay as they are.
      token = *engine.added.token(*id);
      if (token.special) return;
      token.special = true;
    }
    if (!engine.find(content)) ++unknown;
    missing.push_back(std::move(token));
  };
  for (const NamedToken& named : named_special_tokens()) {
    const auto& value = special.*named.value;
    if (value && !value->empty()) add(*value, lstrip_mask && named.value == &SpecialTokens::mask_token);
  }
  for (const std::string& content : special.additional_special_tokens) {
    if (!content.empty()) add(content, false);
  }
  engine.added.add(missing, engine.model->vocabulary());
  return unknown;
}

TokenizerSettings settings_without_config(const Engine& engine) {
  TokenizerSettings settings;
  SpecialTokens usual;
  fill_defaults(*find_wordpiece_class("BertTokenizer"), usual);
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
  const std::string vocab_path = join_path(folder, "vocab.txt");
  const std::string config_path = join_path(folder, "tokenizer_config.json");
  const std::string map_path = join_path(folder, "special_tokens_map.json");
  const Json config = read_json_if_there(config_path);
  // Of the model's own config only its type matters here, and only where nothing else tells the class.
  const Json model_config =
      config.contains("tokenizer_class") ? Json::object() : read_json_if_there(join_path(folder, "config.json"));
  LoadedTokenizer loaded;
  loaded.settings = read_settings(config, config_path, class_name(config, model_config, config_path));
  TokenizerSettings& settings = loaded.settings;
  const WordPieceClass* kind = find_wordpiece_class(settings.tokenizer_class);

  SpecialSource source;
  take_special(config, config_path, &source);
  const bool has_decoder = config.contains("added_tokens_decoder");
  if (const Json map = read_json_if_there(map_path); !map.empty()) {
    // Where tokenizer_config.json has no added_tokens_decoder, the older file has the last word.
    SpecialSource from_map;
    take_special(map, map_path, &from_map);
    for (const NamedToken& named : named_special_tokens()) {
      auto& value = source.special.*named.value;
      const auto& other = from_map.special.*named.value;
      if (other && (!value || !has_decoder)) value = other;
    }
    if (source.special.additional_special_tokens.empty()) {
      source.special.additional_special_tokens = from_map.special.additional_special_tokens;
    }
    if (!has_decoder) source.with_flags = std::move(from_map.with_flags);
  }
  settings.special = source.special;

  if (file_exists(json_path)) {
    loaded.engine = read_tokenizer_json(read_file(json_path), json_path);
    if (config.empty() && kind == nullptr) {
      const TokenizerSettings usual = settings_without_config(*loaded.engine);
      for (const NamedToken& named : named_special_tokens()) {
        auto& value = settings.special.*named.value;
        if (!value) value = usual.special.*named.value;
      }
    }
    const auto* bert = dynamic_cast<const BertNormalizer*>(loaded.engine->normalizer.get());
    if (kind != nullptr && bert != nullptr) {
      BertNormalizer::Settings normalizer = bert->settings();
      apply_bert_settings(config, config_path, normalizer);
      loaded.engine->normalizer = std::make_shared<BertNormalizer>(normalizer);
    }
    if (kind != nullptr) fill_defaults(*kind, settings.special);
  } else if (file_exists(vocab_path)) {
    if (kind == nullptr && !settings.tokenizer_class.empty()) {
      throw Error("tokenizer class \"" + printable(settings.tokenizer_class, 60) +
                      "\" has no reader for vocab.txt, and there is no tokenizer.json",
                  printable(folder, 400), "save the tokenizer with a tokenizer.json beside it");
    }
    if (kind == nullptr) kind = find_wordpiece_class("BertTokenizer");
    if (settings.tokenizer_class.empty()) {
      settings = read_settings(config, config_path, kind->name);
      settings.special = source.special;
    }
    fill_defaults(*kind, settings.special);
    loaded.engine = read_vocab_txt(vocab_path, *kind, settings);
    add_from_legacy_file(join_path(folder, "added_tokens.json"), settings.special, *loaded.engine);
  } else {
    throw Error("no tokenizer found: neither tokenizer.json nor vocab.txt", printable(folder, 400),
                "name a model folder that holds one of them");
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
  add_special_tokens(engine, settings.special, kind != nullptr && kind->two_separators);
  engine.prepare();
  return loaded;
}

}  // namespace mica
