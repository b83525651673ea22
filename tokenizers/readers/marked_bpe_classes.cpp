// The classes of subword-nmt's byte pairs, whose tokens end in @@ inside a word: Blenderbot's small models and CTRL
// (vocab.json, merges.txt), PhoBERT and BERTweet (vocab.txt and bpe.codes, with a count behind each token and pair).

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/models/marked_bpe.h"
#include "mica/tokenizers/readers/classes.h"
#include "mica/tokenizers/readers/merges_txt.h"
#include "mica/tokenizers/readers/sentencepiece_parts.h"
#include "mica/tokenizers/tweet_normalizer.h"

namespace mica {
namespace {

std::vector<std::string> first_tokens(const SpecialTokens& special) {
  std::vector<std::string> first;
  for (const auto& token : {special.bos_token, special.pad_token, special.eos_token, special.unk_token}) {
    first.push_back(token.value_or(""));
  }
  return first;
}

class MarkedBpeClass : public TokenizerClass {
 public:
  MarkedBpeClass(const char* class_name, DefaultTokens defaults, bool counts, bool blenderbot = false,
                 bool tweets = false)
      : TokenizerClass(class_name, defaults), counts_(counts), blenderbot_(blenderbot), tweets_(tweets) {}
  std::vector<std::string> files() const override {
    return {counts_ ? "vocab.txt bpe.codes" : "vocab.json merges.txt"};
  }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const std::vector<std::string> names = files_of_class(*this, folder);
    const std::string path = join_path(folder, names[0]), merges_path = join_path(folder, names[1]);
    Fields config(settings.config, join_path(folder, "tokenizer_config.json"), "tokenizer_config");
    const auto vocabulary =
        counts_ ? parse_counted_vocab(read_file(path), first_tokens(settings.special), path) : read_vocab_json(path);
    const int32_t unk_id = need_token(*vocabulary, settings.special.unk_token, "unk_token", path);
    auto engine = std::make_shared<Engine>();
    engine->model = std::make_shared<MarkedBpe>(
        vocabulary, parse_marked_merges(read_file(merges_path), counts_, merges_path),
        MarkedBpe::Settings{.unk_id = unk_id, .separators_are_white = counts_, .blenderbot = blenderbot_}, merges_path);
    if (tweets_ && config.boolean("normalization", false)) engine->pre_tokenizer = std::make_shared<TweetNormalizer>();
    engine->decoder = make_marked_decoder();
    add_special_tokens(*engine, settings.special);
    if (counts_) {
      engine->post_processor =
          make_template({"{cls} $A {sep}", "{cls} $A {sep} {sep} $B {sep}"}, *engine, settings.special, name, path);
    }
    return engine;
  }

 private:
  bool counts_, blenderbot_, tweets_;
};

constexpr DefaultTokens kRoberta = {
    .bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>", .cls = "<s>", .mask = "<mask>"};

}  // namespace

TokenizerClasses marked_byte_pair_classes() {
  static const MarkedBpeClass classes[] = {
      {"BlenderbotSmallTokenizer",
       {.bos = "__start__", .eos = "__end__", .unk = "__unk__", .pad = "__null__"},
       false,
       true},
      {"CTRLTokenizer", {.unk = "<unk>"}, false},
      {"PhobertTokenizer", kRoberta, true},
      {"BertweetTokenizer", kRoberta, true, false, true},
  };
  static const TokenizerClass* const all[] = {&classes[0], &classes[1], &classes[2], &classes[3]};
  return all;
}

}  // namespace mica
