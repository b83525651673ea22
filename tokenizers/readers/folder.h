#pragma once
// A model folder's tokenizer files: which there are, what they say, and the Engine they give.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mica/base/json.h"
#include "mica/tokenizers/engine.h"
#include "mica/tokenizers/options.h"

namespace mica {

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
  Json config = Json::object();  ///< tokenizer_config.json as it was, written back on saving
};

struct LoadedTokenizer {
  std::shared_ptr<Engine> engine;  ///< prepared
  TokenizerSettings settings;
};

/// Reads a folder; throws Error naming what is missing or wrong.
LoadedTokenizer load_tokenizer_folder(const std::string& folder);
/// Settings for a tokenizer.json on its own: special tokens by their usual names.
TokenizerSettings settings_without_config(const Engine& engine);

/// Adds the named special tokens that are no added tokens yet; returns how many the vocabulary lacked.
int64_t add_special_tokens(Engine& engine, const SpecialTokens& special, bool lstrip_mask = false);

/// Name and value of each named special token ("bos_token", ...), in the order of transformers.
struct NamedToken {
  const char* name;
  std::optional<std::string> SpecialTokens::*value;
};
const std::vector<NamedToken>& named_special_tokens();

/// The classes whose vocab.txt holds WordPiece tokens, and how they differ.
struct WordPieceClass {
  const char* name;
  const char *cls, *sep, *unk, *pad, *mask, *bos, *eos;  ///< defaults of the special tokens; null: none
  bool type_ids;                                         ///< the model takes token_type_ids
  int32_t cls_type_id;
  bool two_separators;  ///< <s> A </s></s> B </s>, all of type 0
};
/// Null for a class that is none of them. `name` is without "Fast".
const WordPieceClass* find_wordpiece_class(const std::string& name);

}  // namespace mica
