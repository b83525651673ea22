#include "mica/tokenizers/readers/settings.h"

#include <algorithm>
#include <map>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/warnings.h"
#include "mica/tokenizers/readers/classes.h"
#include "mica/tokenizers/readers/fields.h"

namespace mica {
namespace {

constexpr int64_t kMaxConfigBytes = 64 << 20;
// transformers writes int(1e30) for "no limit", and reads anything above 1e20 so; no model is near these.
constexpr double kNoLimit = 1e15;

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

}  // namespace

const std::vector<NamedToken>& named_special_tokens() {
  static const std::vector<NamedToken> names = {
      {"bos_token", &SpecialTokens::bos_token},  {"eos_token", &SpecialTokens::eos_token},
      {"unk_token", &SpecialTokens::unk_token},  {"sep_token", &SpecialTokens::sep_token},
      {"pad_token", &SpecialTokens::pad_token},  {"cls_token", &SpecialTokens::cls_token},
      {"mask_token", &SpecialTokens::mask_token}};
  return names;
}

Json read_json_if_there(const std::string& path) {
  if (!file_exists(path)) return Json::object();
  Json json = parse_json(read_file(path, kMaxConfigBytes), path);
  if (!json.is_object()) throw Error("not a JSON object", printable(path, 400), "mend the file or fetch it again");
  return json;
}

SpecialSource read_special_tokens(const Json& config, const std::string& config_path, const std::string& map_path) {
  SpecialSource source;
  take_special(config, config_path, &source);
  const bool has_decoder = config.contains("added_tokens_decoder");
  const Json map = read_json_if_there(map_path);
  if (map.empty()) return source;
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
  return source;
}

TokenizerSettings read_settings(const Json& config, const std::string& file, const TokenizerClass* tokenizer_class) {
  TokenizerSettings settings;
  settings.config = config;
  settings.model_max_length = read_max_length(config, file);
  settings.padding_side =
      read_side(config, "padding_side", tokenizer_class != nullptr ? tokenizer_class->padding_side : Side::right, file);
  settings.truncation_side = read_side(config, "truncation_side", Side::right, file);
  settings.clean_up_tokenization_spaces = get_flag(config, "clean_up_tokenization_spaces", false, file);
  settings.split_special_tokens = get_flag(config, "split_special_tokens", false, file);
  if (config.contains("pad_token_type_id") && !config["pad_token_type_id"].is_null()) {
    Fields fields(config, file, "tokenizer_config");
    settings.pad_token_type_id = static_cast<int32_t>(fields.integer("pad_token_type_id", 0, 1'000'000));
  }
  if (tokenizer_class != nullptr) {
    settings.tokenizer_class = tokenizer_class->name;
    settings.model_input_names = {"input_ids"};
    if (tokenizer_class->type_ids) settings.model_input_names.emplace_back("token_type_ids");
    if (tokenizer_class->attention_mask) settings.model_input_names.emplace_back("attention_mask");
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

}  // namespace mica
