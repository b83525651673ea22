#pragma once
// tokenizer_config.json, special_tokens_map.json and added_tokens.json: what a tokenizer is beyond its components.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mica/base/json.h"
#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/options.h"
#include "mica/tokenizers/readers/chat_template_files.h"

namespace mica {

class TokenizerClass;

/// What tokenizer_config.json and its companions say beyond the components.
struct TokenizerSettings {
  std::string tokenizer_class;  ///< without "Fast"; empty: none named
  SpecialTokens special;
  std::optional<int64_t> model_max_length;
  Side padding_side = Side::right;
  Side truncation_side = Side::right;
  std::vector<std::string> model_input_names = {"input_ids", "attention_mask"};
  bool clean_up_tokenization_spaces = false;
  bool split_special_tokens = false;
  int32_t pad_token_type_id = 0;
  ChatTemplates chat_templates;
  /// For texts that are targets (TokenizerOptions::text_target), prepared; null: they are read like any other.
  std::shared_ptr<const Engine> target = {};
  Json config = Json::object();  ///< tokenizer_config.json as it was, written back on saving
};

/// Name and value of each named special token ("bos_token", ...), in the order of transformers.
struct NamedToken {
  const char* name;
  std::optional<std::string> SpecialTokens::*value;
};
const std::vector<NamedToken>& named_special_tokens();

/// The file as an object; an empty object when it is not there. Throws Error when it is no JSON object.
Json read_json_if_there(const std::string& path);

/// The named special tokens of tokenizer_config.json and special_tokens_map.json together.
struct SpecialSource {
  SpecialTokens special;
  std::vector<AddedToken> with_flags;  ///< those given as objects
};
SpecialSource read_special_tokens(const Json& config, const std::string& config_path, const std::string& map_path);

/// Everything of tokenizer_config.json but its special tokens, with the defaults of the class (null: none is known).
TokenizerSettings read_settings(const Json& config, const std::string& file, const TokenizerClass* tokenizer_class);

/// Adds the tokens of added_tokens_decoder ({"0": {"content": ...}}), and warns of ids that cannot be met.
void add_from_decoder(const Json& config, const std::string& file, Engine& engine);
/// Adds the tokens of added_tokens.json ({"<token>": id}), if there is one.
void add_from_legacy_file(const std::string& path, const SpecialTokens& special, Engine& engine);
/// Adds the named special tokens that are no added tokens yet; returns how many the vocabulary lacked.
int64_t add_special_tokens(Engine& engine, const SpecialTokens& special, bool lstrip_mask = false);

}  // namespace mica
