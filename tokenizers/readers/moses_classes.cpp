// The classes that cut words as the Moses scripts do and then join byte pairs, a word's last part with </w> behind it:
// XLM, FlauBERT, BioGPT (vocab.json, merges.txt), and FSMT, whose source and target have vocabularies of their own.

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/models/marked_bpe.h"
#include "mica/tokenizers/moses_detokenizer.h"
#include "mica/tokenizers/moses_words.h"
#include "mica/tokenizers/readers/classes.h"
#include "mica/tokenizers/readers/merges_txt.h"
#include "mica/tokenizers/readers/sentencepiece_parts.h"

namespace mica {
namespace {

// <special0> to <special9>, which XLM's models have for whatever comes later.
void fill_spare_tokens(SpecialTokens& special) {
  if (!special.additional_special_tokens.empty()) return;
  for (char digit = '0'; digit <= '9'; ++digit) {
    special.additional_special_tokens.push_back(std::string("<special") + digit + ">");
  }
}

MarkedBpe::Settings marked_ends(const Vocabulary& vocabulary, const SpecialTokens& special, const std::string& path) {
  return {.unk_id = need_token(vocabulary, special.unk_token, "unk_token", path), .marks_ends = true};
}

class MosesClass : public TokenizerClass {
 public:
  using TokenizerClass::TokenizerClass;
  std::vector<std::string> files() const override { return {"vocab.json merges.txt"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const std::string path = join_path(folder, "vocab.json");
    Fields config(settings.config, join_path(folder, "tokenizer_config.json"), "tokenizer_config");
    const std::string merges_path = join_path(folder, "merges.txt");
    const auto vocabulary = read_vocab_json(path);
    const auto engine = std::make_shared<Engine>();
    engine->model = std::make_shared<MarkedBpe>(vocabulary, parse_moses_merges(read_file(merges_path), merges_path),
                                                marked_ends(*vocabulary, settings.special, path), merges_path);
    engine->decoder = make_marked_ends_decoder();
    set_words(config, settings.special, *engine);
    add_special_tokens(*engine, settings.special);
    engine->post_processor = make_template(around(), *engine, settings.special, name, path);
    return engine;
  }

 protected:
  virtual void set_words(Fields& config, SpecialTokens& special, Engine& engine) const = 0;
  virtual Template around() const { return {"{bos} $A {sep}", "{bos} $A {sep} $B:1 {sep}:1"}; }
};

class XlmClass : public MosesClass {
 public:
  using MosesClass::MosesClass;

 private:
  void set_words(Fields& config, SpecialTokens& special, Engine& engine) const override {
    fill_spare_tokens(special);
    engine.pre_tokenizer = std::make_shared<MosesPreTokenizer>(
        moses::language("en", config.file()),
        MosesPreTokenizer::Settings{.folds = config.boolean("do_lowercase_and_remove_accent", true)});
  }
};

class FlaubertClass : public MosesClass {
 public:
  using MosesClass::MosesClass;

 private:
  void set_words(Fields& config, SpecialTokens& special, Engine& engine) const override {
    fill_spare_tokens(special);
    engine.normalizer = std::make_shared<NormalizerSequence>(std::vector<NormalizerPtr>{
        normalizer_of(R"({"type":"Replace","pattern":{"String":"``"},"content":"\""})", config.file()),
        normalizer_of(R"({"type":"Replace","pattern":{"String":"''"},"content":"\""})", config.file()),
        normalizer_of(R"({"type":"NFC"})", config.file())});
    engine.pre_tokenizer = std::make_shared<MosesPreTokenizer>(
        moses::language("fr", config.file()),
        MosesPreTokenizer::Settings{.lowers = config.boolean("do_lowercase", false)});
  }
};

class BioGptClass : public MosesClass {
 public:
  using MosesClass::MosesClass;

 private:
  void set_words(Fields& config, SpecialTokens&, Engine& engine) const override {
    const moses::Language& english = moses::language("en", config.file());
    engine.pre_tokenizer = std::make_shared<MosesPreTokenizer>(
        english, MosesPreTokenizer::Settings{.normalizes = false, .words = {.splits_dashes = true, .escapes = true}});
    engine.decoder = make_moses_decoder(english);
  }
  Template around() const override { return {"{sep} $A", "{sep} $A {sep}:1 $B:1"}; }
};

// Ids that the source's vocabulary gives, and tokens that the target's gives back.
class FsmtModel : public MarkedBpe {
 public:
  FsmtModel(std::shared_ptr<const Vocabulary> source, std::shared_ptr<const Vocabulary> target, const Merges& merges,
            Settings settings, const std::string& file)
      : MarkedBpe(std::move(source), merges, settings, file), target_(std::move(target)) {}
  const Vocabulary& decoded_vocabulary() const override { return *target_; }

 private:
  std::shared_ptr<const Vocabulary> target_;
};

class FsmtClass : public TokenizerClass {
 public:
  using TokenizerClass::TokenizerClass;
  std::vector<std::string> files() const override { return {"vocab-src.json vocab-tgt.json merges.txt"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const std::string path = join_path(folder, "vocab-src.json"), target_path = join_path(folder, "vocab-tgt.json");
    const std::string merges_path = join_path(folder, "merges.txt");
    Fields config(settings.config, join_path(folder, "tokenizer_config.json"), "tokenizer_config");
    const Json& langs = config.optional_raw("langs");
    const auto is_text = [](const Json& one) { return one.is_string(); };
    if (!langs.is_array() || langs.size() != 2 || !std::all_of(langs.begin(), langs.end(), is_text)) {
      config.fail("langs does not name two languages", "give the source and the target: [\"en\", \"ru\"]");
    }
    const auto vocabulary = read_vocab_json(path);
    auto engine = std::make_shared<Engine>();
    engine->model =
        std::make_shared<FsmtModel>(vocabulary, target_vocabulary(*vocabulary, target_path, settings.special),
                                    parse_moses_merges(read_file(merges_path), merges_path),
                                    marked_ends(*vocabulary, settings.special, path), merges_path);
    engine->pre_tokenizer = std::make_shared<MosesPreTokenizer>(
        moses::language(langs[0].get<std::string>(), config.file()),
        MosesPreTokenizer::Settings{.lowers = config.boolean("do_lower_case", false),
                                    .words = {.splits_dashes = true, .escapes = true}});
    engine->decoder = make_moses_decoder(moses::language(langs[1].get<std::string>(), config.file()));
    add_special_tokens(*engine, settings.special);
    engine->post_processor =
        make_template({"$A {sep}", "$A {sep} $B:1 {sep}:1"}, *engine, settings.special, name, path);
    return engine;
  }

 private:
  // Ids that only the source has are unknown.
  static std::shared_ptr<const Vocabulary> target_vocabulary(const Vocabulary& source, const std::string& path,
                                                             const SpecialTokens& special) {
    const auto written = read_vocab_json(path);
    auto vocabulary = std::make_shared<Vocabulary>();
    for (int64_t i = 0; i < std::max(written->id_bound(), source.id_bound()); ++i) {
      const auto id = static_cast<int32_t>(i);
      if (written->contains(id)) {
        vocabulary->add(written->token(id), id, path);
      } else if (source.contains(id)) {
        vocabulary->add(special.unk_token.value_or(""), id, path);
      }
    }
    vocabulary->finish_with_duplicates(path);
    return vocabulary;
  }
};

constexpr DefaultTokens kXlm = {
    .bos = "<s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>", .cls = "</s>", .mask = "<special1>"};

}  // namespace

TokenizerClasses moses_classes() {
  static const XlmClass xlm("XLMTokenizer", kXlm);
  static const FlaubertClass flaubert("FlaubertTokenizer", kXlm);
  static const BioGptClass biogpt("BioGptTokenizer",
                                  {.bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>"});
  static const FsmtClass fsmt("FSMTTokenizer", {.bos = "<s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>"});
  static const TokenizerClass* const all[] = {&xlm, &flaubert, &biogpt, &fsmt};
  return all;
}

}  // namespace mica
