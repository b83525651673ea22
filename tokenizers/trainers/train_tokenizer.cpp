// Tokenizers from scratch: the recipes.

#include <algorithm>
#include <array>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/json.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/tokenizer_impl.h"
#include "mica/tokenizers/trainers/train_json.h"
#include "mica/tokenizers/trainers/training.h"

namespace mica {
namespace {

struct Recipe {
  Json tokenizer = {
      {"version", "1.0"},      {"truncation", nullptr},    {"padding", nullptr},        {"added_tokens", Json::array()},
      {"normalizer", nullptr}, {"pre_tokenizer", nullptr}, {"post_processor", nullptr}, {"decoder", nullptr}};
  SpecialTokens names;
  std::vector<std::string> special;
  bool type_ids = false;
};

// The piece of a template that stands for a text, or for a special token.
Json text_piece(const char* id, int type) {
  return {{"Sequence", {{"id", id}, {"type_id", type}}}};
}
Json token_piece(const std::string& token, int type) {
  return {{"SpecialToken", {{"id", token}, {"type_id", type}}}};
}

Recipe wordpiece(bool lowercase) {
  Recipe recipe;
  recipe.tokenizer["normalizer"] = {{"type", "BertNormalizer"},
                                    {"clean_text", true},
                                    {"handle_chinese_chars", true},
                                    {"strip_accents", nullptr},
                                    {"lowercase", lowercase}};
  recipe.tokenizer["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  const Json cls = token_piece("[CLS]", 0), sep = token_piece("[SEP]", 0);
  recipe.tokenizer["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", Json::array({cls, text_piece("A", 0), sep})},
      {"pair", Json::array({cls, text_piece("A", 0), sep, text_piece("B", 1), token_piece("[SEP]", 1)})},
      {"special_tokens",
       {{"[CLS]", {{"id", "[CLS]"}, {"ids", Json::array({2})}, {"tokens", Json::array({"[CLS]"})}}},
        {"[SEP]", {{"id", "[SEP]"}, {"ids", Json::array({3})}, {"tokens", Json::array({"[SEP]"})}}}}}};
  recipe.tokenizer["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  recipe.tokenizer["model"] = {{"type", "WordPiece"},
                               {"unk_token", "[UNK]"},
                               {"continuing_subword_prefix", "##"},
                               {"max_input_chars_per_word", 100}};
  recipe.special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  recipe.names.pad_token = "[PAD]";
  recipe.names.unk_token = "[UNK]";
  recipe.names.cls_token = "[CLS]";
  recipe.names.sep_token = "[SEP]";
  recipe.names.mask_token = "[MASK]";
  recipe.type_ids = true;
  return recipe;
}

Recipe bpe(bool lowercase, bool byte_level) {
  Recipe recipe;
  if (lowercase) recipe.tokenizer["normalizer"] = {{"type", "Lowercase"}};
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", false}};
  if (byte_level) {
    const Json bytes = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
    recipe.tokenizer["pre_tokenizer"] = bytes;
    recipe.tokenizer["post_processor"] = bytes;
    recipe.tokenizer["post_processor"]["trim_offsets"] = false;
    recipe.tokenizer["decoder"] = bytes;
    recipe.special = {"<|endoftext|>"};
    recipe.names.bos_token = recipe.names.eos_token = recipe.names.unk_token = "<|endoftext|>";
  } else {
    recipe.tokenizer["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
    recipe.tokenizer["decoder"] = {{"type", "BPEDecoder"}, {"suffix", "</w>"}};
    model["unk_token"] = "<unk>";
    model["end_of_word_suffix"] = "</w>";
    recipe.special = {"<unk>"};
    recipe.names.unk_token = "<unk>";
  }
  recipe.tokenizer["model"] = std::move(model);
  return recipe;
}

Recipe unigram(bool lowercase) {
  Recipe recipe;
  Json normalizers = Json::array({{{"type", "NFKC"}}});
  if (lowercase) normalizers.push_back({{"type", "Lowercase"}});
  normalizers.push_back({{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}});
  recipe.tokenizer["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
  const Json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}, {"split", true}};
  recipe.tokenizer["pre_tokenizer"] = metaspace;
  recipe.tokenizer["decoder"] = metaspace;
  const Json end = token_piece("</s>", 0);
  recipe.tokenizer["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", Json::array({text_piece("A", 0), end})},
      {"pair", Json::array({text_piece("A", 0), end, text_piece("B", 0), end})},
      {"special_tokens", {{"</s>", {{"id", "</s>"}, {"ids", Json::array({1})}, {"tokens", Json::array({"</s>"})}}}}}};
  recipe.tokenizer["model"] = {{"type", "Unigram"}};
  recipe.special = {"<pad>", "</s>", "<unk>"};
  recipe.names.pad_token = "<pad>";
  recipe.names.eos_token = "</s>";
  recipe.names.unk_token = "<unk>";
  return recipe;
}

Recipe word_level(bool lowercase) {
  Recipe recipe;
  if (lowercase) recipe.tokenizer["normalizer"] = {{"type", "Lowercase"}};
  recipe.tokenizer["pre_tokenizer"] = {{"type", "Whitespace"}};
  recipe.tokenizer["model"] = {{"type", "WordLevel"}, {"unk_token", "[UNK]"}};
  recipe.special = {"[UNK]", "[PAD]"};
  recipe.names.unk_token = "[UNK]";
  recipe.names.pad_token = "[PAD]";
  return recipe;
}

Recipe make(const TokenizerRecipe& wanted) {
  if (!wanted.byte_level && wanted.model != "bpe") {
    throw Error("byte_level belongs to bpe, not to " + printable(wanted.model, 60), "tokenizer recipe", "leave it out");
  }
  if (wanted.model == "bpe") return bpe(wanted.lowercase.value_or(false), wanted.byte_level);
  if (wanted.model == "wordpiece") return wordpiece(wanted.lowercase.value_or(true));
  if (wanted.model == "unigram") return unigram(wanted.lowercase.value_or(false));
  if (wanted.model == "wordlevel") return word_level(wanted.lowercase.value_or(false));
  throw Error("unknown model \"" + printable(wanted.model, 60) + "\"", "tokenizer recipe",
              "known are bpe, unigram, wordlevel and wordpiece");
}

}  // namespace

Tokenizer train_tokenizer(TextSource texts, const TokenizerRecipe& wanted, const TrainerOptions& options) {
  Recipe recipe = make(wanted);
  for (const std::string& token : wanted.special_tokens) {
    if (std::find(recipe.special.begin(), recipe.special.end(), token) != recipe.special.end()) {
      throw Error("special token occurs twice: \"" + printable(token, 60) + "\"", "tokenizer recipe",
                  "name only those beyond the usual ones of " + wanted.model);
    }
    recipe.special.push_back(token);
    recipe.names.additional_special_tokens.push_back(token);
  }
  JsonTraining training;
  training.vocab_size = wanted.vocab_size;
  training.unk_token = recipe.names.unk_token;
  for (const std::string& content : recipe.special) {
    AddedToken token;
    token.content = content;
    token.normalized = false;
    token.special = true;
    training.special_tokens.push_back(std::move(token));
  }
  train_json(recipe.tokenizer, texts, training, options);
  auto engine = read_tokenizer_json(dump_json(recipe.tokenizer), "trained tokenizer");
  engine->prepare();
  TokenizerSettings settings;
  settings.special = recipe.names;
  settings.clean_up_tokenization_spaces = false;
  if (recipe.type_ids) settings.model_input_names = {"input_ids", "token_type_ids", "attention_mask"};
  return Tokenizer(std::make_shared<Tokenizer::Impl>(Tokenizer::Impl{std::move(engine), std::move(settings)}));
}

}  // namespace mica
