// vocab.txt: one WordPiece token a line, its id the line's number from 0; and the classes that read it.

#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/basic_words.h"
#include "mica/tokenizers/models/wordpiece.h"
#include "mica/tokenizers/readers/sentencepiece_parts.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

std::shared_ptr<const Vocabulary> read_lines(const std::string& path) {
  const std::string text = read_file(path);
  if (!utf8::is_valid(text)) throw Error("vocabulary is not UTF-8", printable(path, 400), "fetch the file again");
  auto vocabulary = std::make_shared<Vocabulary>();
  int64_t id = 0;
  for (size_t at = 0; at < text.size(); ++id) {
    size_t end = text.find('\n', at);
    if (end == text.npos) end = text.size();
    std::string_view line = std::string_view(text).substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty()) vocabulary->add(line, id, path);  // an empty line only takes up a number
    at = end + 1;
  }
  vocabulary->finish(path);
  return vocabulary;
}

// How a class differs from BERT's.
struct Layout {
  int32_t cls_type_id = 0;
  bool two_separators = false;  // <s> A </s></s> B </s>, all of type 0
};

Json template_json(const Layout& layout, const std::string& cls, int32_t cls_id, const std::string& sep,
                   int32_t sep_id) {
  if (layout.two_separators) {
    return {{"type", "RobertaProcessing"},
            {"sep", Json::array({sep, sep_id})},
            {"cls", Json::array({cls, cls_id})},
            {"trim_offsets", true},
            {"add_prefix_space", false}};
  }
  const auto special = [](const std::string& token, int32_t type) -> Json {
    return Json{{"SpecialToken", Json{{"id", token}, {"type_id", type}}}};
  };
  const auto sequence = [](const char* name, int32_t type) -> Json {
    return Json{{"Sequence", Json{{"id", name}, {"type_id", type}}}};
  };
  const auto entry = [](const std::string& token, int32_t id) -> Json {
    return Json{{"id", token}, {"ids", Json::array({id})}, {"tokens", Json::array({token})}};
  };
  Json table = Json::object();
  table[cls] = entry(cls, cls_id);
  table[sep] = entry(sep, sep_id);
  Json json = Json::object();
  json["type"] = "TemplateProcessing";
  json["single"] = Json::array({special(cls, layout.cls_type_id), sequence("A", 0), special(sep, 0)});
  json["pair"] = Json::array(
      {special(cls, layout.cls_type_id), sequence("A", 0), special(sep, 0), sequence("B", 1), special(sep, 1)});
  json["special_tokens"] = std::move(table);
  return json;
}

// Applies do_lower_case, strip_accents and tokenize_chinese_chars where tokenizer_config.json gives them: for these
// classes it overrules the normalizer of tokenizer.json.
void apply_bert_settings(const Json& config, const std::string& file, BertNormalizer::Settings& settings) {
  Fields fields(config, file, "tokenizer_config");
  settings.lowercase = fields.boolean("do_lower_case", settings.lowercase);
  if (fields.has("strip_accents")) settings.strip_accents = fields.boolean("strip_accents");
  settings.handle_chinese_chars = fields.boolean("tokenize_chinese_chars", settings.handle_chinese_chars);
  settings.clean_text = fields.boolean("clean_text", settings.clean_text);
}

class WordPieceClass : public TokenizerClass {
 public:
  WordPieceClass(const char* class_name, DefaultTokens defaults, bool takes_type_ids, Layout layout = {})
      : TokenizerClass(class_name, defaults), layout_(layout) {
    type_ids = takes_type_ids;
    lstrip_mask = layout.two_separators;
  }
  std::vector<std::string> files() const override { return {"vocab.txt"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const std::string path = join_path(folder, "vocab.txt");
    auto engine = std::make_shared<Engine>();
    const auto vocabulary = read_lines(path);
    WordPiece::Settings pieces;
    pieces.unk_token = settings.special.unk_token.value_or("[UNK]");
    need_token(*vocabulary, pieces.unk_token, "unk_token", path);
    engine->model = std::make_shared<WordPiece>(vocabulary, pieces);
    BertNormalizer::Settings normalizer;
    apply_bert_settings(settings.config, path, normalizer);
    engine->normalizer = std::make_shared<BertNormalizer>(normalizer);
    engine->pre_tokenizer = std::make_shared<BertPreTokenizer>();
    engine->decoder = make_wordpiece_decoder("##", true);
    const int32_t cls = need_token(*vocabulary, settings.special.cls_token, "cls_token", path);
    const int32_t sep = need_token(*vocabulary, settings.special.sep_token, "sep_token", path);
    const Json json = template_json(layout_, *settings.special.cls_token, cls, *settings.special.sep_token, sep);
    engine->post_processor = PostProcessor(Fields(json, path, "post_processor"));
    return engine;
  }

  void adjust(Engine& engine, const TokenizerSettings& settings, const std::string& file) const override {
    const auto* bert = dynamic_cast<const BertNormalizer*>(engine.normalizer.get());
    if (bert == nullptr) return;
    BertNormalizer::Settings normalizer = bert->settings();
    apply_bert_settings(settings.config, file, normalizer);
    engine.normalizer = std::make_shared<BertNormalizer>(normalizer);
  }

 private:
  Layout layout_;
};

// Words as the reference's Python code cuts them; nothing in front of a text.
class ProphetNetClass : public TokenizerClass {
 public:
  ProphetNetClass()
      : TokenizerClass("ProphetNetTokenizer", {.unk = "[UNK]", .sep = "[SEP]", .pad = "[PAD]", .mask = "[MASK]"}) {}
  std::vector<std::string> files() const override { return {"prophetnet.tokenizer"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const std::string path = join_path(folder, "prophetnet.tokenizer");
    Fields config(settings.config, join_path(folder, "tokenizer_config.json"), "tokenizer_config");
    if (config.has("never_split")) config.fail("never_split is not supported", "add these words as tokens");
    auto engine = std::make_shared<Engine>();
    const auto vocabulary = read_lines(path);
    WordPiece::Settings pieces;
    pieces.unk_token = settings.special.unk_token.value_or("");
    need_token(*vocabulary, pieces.unk_token, "unk_token", path);
    engine->model = std::make_shared<WordPiece>(vocabulary, pieces);
    engine->pre_tokenizer = std::make_shared<BasicWords>(
        BasicWords::Settings{.lowercase = config.boolean("do_lower_case", true),
                             .chinese_alone = config.boolean("tokenize_chinese_chars", true),
                             .strip_accents = config.optional_boolean("strip_accents"),
                             .only_white = !config.boolean("do_basic_tokenize", true)});
    engine->decoder = make_wordpiece_decoder("##", false);
    settings.clean_up_tokenization_spaces = config.boolean("clean_up_tokenization_spaces", true);
    // A second separator, between the sentences of a summary.
    settings.special.additional_special_tokens.push_back(config.string("x_sep_token", "[X_SEP]"));
    add_special_tokens(*engine, settings.special);
    engine->post_processor =
        make_template({"$A {sep}", "$A {sep} $B:1 {sep}:1"}, *engine, settings.special, name, path);
    return engine;
  }
};

WordPieceClass bert(const char* name, bool type_ids = true) {
  return {name, {.unk = "[UNK]", .sep = "[SEP]", .pad = "[PAD]", .cls = "[CLS]", .mask = "[MASK]"}, type_ids};
}

}  // namespace

TokenizerClasses wordpiece_classes() {
  static const WordPieceClass classes[] = {
      bert("BertTokenizer"),
      bert("ConvBertTokenizer"),
      bert("DPRContextEncoderTokenizer"),
      bert("DPRQuestionEncoderTokenizer"),
      bert("DPRReaderTokenizer", false),
      bert("DistilBertTokenizer", false),
      bert("ElectraTokenizer"),
      bert("LayoutLMTokenizer"),
      bert("LxmertTokenizer"),
      bert("MobileBertTokenizer"),
      bert("RealmTokenizer"),
      bert("RetriBertTokenizer", false),
      bert("SplinterTokenizer", false),
      bert("SqueezeBertTokenizer"),
      {"FunnelTokenizer",
       {.bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "<sep>", .pad = "<pad>", .cls = "<cls>", .mask = "<mask>"},
       true,
       {.cls_type_id = 2}},
      {"MPNetTokenizer",
       {.bos = "<s>", .eos = "</s>", .unk = "[UNK]", .sep = "</s>", .pad = "<pad>", .cls = "<s>", .mask = "<mask>"},
       false,
       {.two_separators = true}},
  };
  static const ProphetNetClass prophetnet;
  static const std::vector<const TokenizerClass*> all = [] {
    std::vector<const TokenizerClass*> pointers = {&prophetnet};
    for (const WordPieceClass& one : classes) pointers.push_back(&one);
    return pointers;
  }();
  return all;
}

}  // namespace mica
