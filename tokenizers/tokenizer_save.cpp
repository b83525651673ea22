// Writing a tokenizer to files that the reference opens.

#include <utility>

#include "mica/base/file.h"
#include "mica/base/json.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/tokenizer_impl.h"

namespace mica {
namespace {

const char* side_name(Side side) {
  return side == Side::right ? "right" : "left";
}

Json config_json(const Engine& engine, const TokenizerSettings& settings) {
  Json config = settings.config;
  Json added = Json::object();
  for (const auto& [id, token] : engine.added.by_id()) {
    added[std::to_string(id)] = {{"content", token.content},         {"lstrip", token.lstrip},
                                 {"normalized", token.normalized},   {"rstrip", token.rstrip},
                                 {"single_word", token.single_word}, {"special", token.special}};
  }
  config["added_tokens_decoder"] = std::move(added);
  for (const NamedToken& named : named_special_tokens()) {
    if (const auto& value = settings.special.*named.value) config[named.name] = *value;
  }
  config.erase("additional_special_tokens");
  config.erase("chat_template");  // written as files of its own
  if (const auto& more = settings.special.additional_special_tokens; !more.empty()) {
    config["extra_special_tokens"] = more;
  }
  // What the class does to its normalizer, spelled out: a class that rebuilds it reads these.
  if (const auto* bert = dynamic_cast<const BertNormalizer*>(engine.normalizer.get())) {
    const auto& normalizer = bert->settings();
    config["do_lower_case"] = normalizer.lowercase;
    config["tokenize_chinese_chars"] = normalizer.handle_chinese_chars;
    config["strip_accents"] = nullptr;
    if (normalizer.strip_accents) config["strip_accents"] = *normalizer.strip_accents;
  }
  config["clean_up_tokenization_spaces"] = settings.clean_up_tokenization_spaces;
  config["model_input_names"] = settings.model_input_names;
  config.erase("max_len");
  if (settings.model_max_length) {
    config["model_max_length"] = *settings.model_max_length;
  } else {
    config.erase("model_max_length");
  }
  config["padding_side"] = side_name(settings.padding_side);
  config["truncation_side"] = side_name(settings.truncation_side);
  config["tokenizer_class"] =
      settings.tokenizer_class.empty() ? std::string("PreTrainedTokenizerFast") : settings.tokenizer_class;
  return config;
}

// vocab.txt can say a vocabulary only if its ids have no holes and no token spans lines.
bool lines_of(const Vocabulary& vocabulary, std::string* lines) {
  for (int64_t i = 0; i < vocabulary.id_bound(); ++i) {
    const std::string_view token = vocabulary.token(static_cast<int32_t>(i));
    if (token.empty() || token.find_first_of("\n\r") != token.npos) return false;
    lines->append(token).push_back('\n');
  }
  return true;
}

}  // namespace

std::vector<std::string> Tokenizer::save_pretrained(const std::string& folder) const {
  const Engine& engine = *impl_->engine;
  make_directories(folder);
  std::vector<std::string> written;
  const auto write = [&](const char* name, std::string_view content) {
    written.push_back(join_path(folder, name));
    write_file_atomically(written.back(), content);
  };
  write("tokenizer.json", write_tokenizer_json(engine));
  write("tokenizer_config.json", dump_json(config_json(engine, impl_->settings)));
  Json map = Json::object();
  for (const NamedToken& named : named_special_tokens()) {
    if (const auto& value = impl_->settings.special.*named.value) map[named.name] = *value;
  }
  if (const auto& more = impl_->settings.special.additional_special_tokens; !more.empty()) {
    map["additional_special_tokens"] = more;
  }
  write("special_tokens_map.json", dump_json(map));
  for (std::string& path : write_chat_templates(folder, impl_->settings.chat_templates)) {
    written.push_back(std::move(path));
  }
  std::string lines;
  if (model_type() == "WordPiece" && lines_of(engine.model->vocabulary(), &lines)) write("vocab.txt", lines);
  return written;
}

}  // namespace mica
