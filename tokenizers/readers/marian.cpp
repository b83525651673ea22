// Marian's folders (Helsinki-NLP/opus-mt-*): source.spm and target.spm cut texts of the two languages, vocab.json
// numbers the pieces of both.

#include "mica/tokenizers/models/marian.h"

#include <optional>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/marian_decoder.h"
#include "mica/tokenizers/readers/classes.h"
#include "mica/tokenizers/readers/fields.h"
#include "mica/tokenizers/readers/merges_txt.h"
#include "mica/tokenizers/readers/sentencepiece_parts.h"

namespace mica {
namespace {

// The text, and </s> behind it; a pair has one </s> as well.
PostProcessor end_of_text(const std::string& eos, int32_t id, const std::string& path) {
  const Json token{{"SpecialToken", {{"id", eos}, {"type_id", 0}}}};
  const auto sequence = [](const char* name) -> Json { return Json{{"Sequence", {{"id", name}, {"type_id", 0}}}}; };
  Json json = Json::object();
  json["type"] = "TemplateProcessing";
  json["single"] = Json::array({sequence("A"), token});
  json["pair"] = Json::array({sequence("A"), sequence("B"), token});
  json["special_tokens"][eos] = {{"id", eos}, {"ids", Json::array({id})}, {"tokens", Json::array({eos})}};
  return PostProcessor(Fields(json, path, "post_processor"));
}

class MarianClass : public TokenizerClass {
 public:
  MarianClass() : TokenizerClass("MarianTokenizer", {.eos = "</s>", .unk = "<unk>", .pad = "<pad>"}) {}
  std::vector<std::string> files() const override { return {"source.spm target.spm vocab.json"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const std::string path = join_path(folder, "vocab.json");
    Fields config(settings.config, join_path(folder, "tokenizer_config.json"), "tokenizer_config");
    if (config.boolean("separate_vocabs", false)) {
      throw Error("separate_vocabs is not supported: source and target must share vocab.json", printable(folder, 400),
                  "use a model with one vocabulary");
    }
    const auto vocabulary = read_vocab_json(path);
    const int32_t unk = need_token(*vocabulary, settings.special.unk_token, "unk_token", path);
    const PostProcessor post = end_of_text(
        *settings.special.eos_token, need_token(*vocabulary, settings.special.eos_token, "eos_token", path), path);
    // Language codes before a text (">>fra<<") are tokens as they stand.
    std::vector<AddedToken> codes;
    for (int64_t i = 0; i < vocabulary->id_bound(); ++i) {
      const std::string_view token = vocabulary->token(static_cast<int32_t>(i));
      if (token.size() > 4 && token.starts_with(">>") && token.ends_with("<<")) {
        codes.push_back({.content = std::string(token), .normalized = false});
      }
    }
    std::vector<std::string> special = settings.special.additional_special_tokens;
    for (const NamedToken& named : named_special_tokens()) {
      if (const auto& value = settings.special.*named.value) special.push_back(*value);
    }
    const auto make = [&](const char* file_name) {
      const std::string file = join_path(folder, file_name);
      auto pieces = std::make_shared<SentencePieceModel>(read_sentencepiece_model(read_file(file), file));
      std::shared_ptr<Engine> engine = make_sentencepiece_engine(std::move(pieces));
      engine->model =
          std::make_shared<Marian>(std::dynamic_pointer_cast<const SentencePiece>(engine->model), vocabulary, unk);
      engine->decoder = make_marian_decoder(engine->decoder, special);
      engine->post_processor = post;
      engine->added.add(codes, *vocabulary);
      return engine;
    };
    const std::shared_ptr<Engine> target = make("target.spm");
    add_special_tokens(*target, settings.special);
    target->prepare();
    settings.target = target;
    return make("source.spm");
  }
};

}  // namespace

TokenizerClasses marian_classes() {
  static const MarianClass marian;
  static const TokenizerClass* const all[] = {&marian};
  return all;
}

}  // namespace mica
