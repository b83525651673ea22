// The tokenizer classes that are made of a SentencePiece .model: which pieces each puts before and behind the model's
// own, and which normalizers, pre-tokenizers and templates go with it.

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/metaspace.h"
#include "mica/tokenizers/models/unigram.h"
#include "mica/tokenizers/precompiled.h"
#include "mica/tokenizers/readers/classes.h"
#include "mica/tokenizers/readers/sentencepiece_parts.h"

namespace mica {
namespace {

using PieceType = SentencePieceModel::PieceType;

constexpr const char* kLanguages[] = {"ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN",
                                      "hi_IN", "it_IT", "ja_XX", "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP",
                                      "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN", "zh_CN"};
constexpr const char* kMoreLanguages[] = {"af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID",
                                          "ka_GE", "km_KH", "mk_MK", "ml_IN", "mn_MN", "mr_IN", "pl_PL",
                                          "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN", "th_TH",
                                          "tl_XX", "uk_UA", "ur_PK", "xh_ZA", "gl_ES", "sl_SI"};

enum class Cleaning {
  map,                // the model's map of characters
  map_blanks,         // and runs of blanks to one
  quotes_map,         // `` and '' to ", accents off, lower case (as asked for), the map
  quotes_map_blanks,  // the same with accents kept, and runs of blanks to one behind
  quotes_blank,       // the same with runs of blanks to one in front, and accents kept
  blank_marks,        // runs of blanks to one mark
  lines_nfc,          // line ends and runs of white space to a blank, NFC, no white space at the end
  none,
};

// How a class differs from the others. Templates: token or $A or $B, with its type behind a colon; {cls} and the like
// name special tokens of tokenizer_config.json.
struct Layout {
  std::vector<const char*> front = {};  // pieces put before, as above
  int skip = 0;                         // pieces of the model that these stand for
  enum class Back { nothing, mask, extra_ids, languages, more_languages, madeup_words } back = Back::nothing;
  int unk_id = 0;        // negative: the model's
  bool pegasus = false;  // in front also <mask_1> and <mask_2>, and <unk_2> and so on up to config's offset
  Cleaning cleaning = Cleaning::map;
  bool splits_white = true;  // else words begin at blanks only
  const char* single = "$A";
  const char* pair = "$A $B:1";
  const char* language = nullptr;  // {language} of the templates where nobody names one
  bool lowers = false;             // do_lower_case where tokenizer_config.json says nothing
};

class SentencePieceClass : public TokenizerClass {
 public:
  SentencePieceClass(const char* class_name, const char* file_name, DefaultTokens defaults, Layout layout)
      : TokenizerClass(class_name, defaults), file_name_(file_name), layout_(std::move(layout)) {}

  std::vector<std::string> files() const override {
    std::vector<std::string> names = {file_name_};
    for (const char* other :
         {"spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", "sentencepiece.model"}) {
      if (other != file_name_) names.emplace_back(other);
    }
    return names;
  }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const auto model = read_model_of_class(*this, folder);
    if (model->kind != SentencePieceModel::Kind::unigram) {
      throw Error(std::string(name) + " reads Unigram models only", printable(model->file, 400),
                  "name the class that the model was made for in tokenizer_config.json");
    }
    Fields config(settings.config, model->file, "tokenizer_config");
    auto engine = std::make_shared<Engine>();
    auto vocabulary = std::make_shared<Vocabulary>();
    std::vector<double> scores;
    const auto put = [&](const std::string& piece, double score) {
      vocabulary->add(piece, static_cast<int64_t>(scores.size()), model->file);
      scores.push_back(score);
    };
    for (const char* piece : layout_.front) {
      put(named_token(piece, settings.special), std::string_view(piece) == "<unk>NOTUSED" ? -100.0 : 0.0);
    }
    std::vector<AddedToken> more;
    for (const std::string& piece : pegasus_pieces(config, settings.special)) {
      put(piece, piece.starts_with("<unk_") ? -100.0 : 0.0);
      more.push_back(added_token(piece, true));
    }
    const auto moved = static_cast<int32_t>(more.size());
    const bool takes_numbers =
        layout_.cleaning == Cleaning::quotes_map || layout_.cleaning == Cleaning::quotes_map_blanks;
    for (int32_t id = layout_.skip; id < model->size(); ++id) {
      const std::string_view piece = model->piece(id);
      // "5," and the like: these classes prefer to end the number before the comma.
      const bool costs = takes_numbers && piece.size() > 1 && piece.back() == ',' && piece[piece.size() - 2] >= '0' &&
                         piece[piece.size() - 2] <= '9';
      put(std::string(piece), static_cast<double>(model->scores[static_cast<size_t>(id)]) - (costs ? 100 : 0));
    }
    for (const std::string& piece : pieces_behind(config)) {
      put(piece, 0);
      more.push_back(added_token(piece, true));
    }
    if (layout_.back == Layout::Back::mask || layout_.back == Layout::Back::languages ||
        layout_.back == Layout::Back::more_languages) {
      put(settings.special.mask_token.value_or("<mask>"), 0);
    }
    vocabulary->finish_with_duplicates(model->file);
    const int32_t unk_id = (layout_.unk_id < 0 ? model->unk_id : layout_.unk_id) + moved;
    if (unk_id >= static_cast<int32_t>(scores.size())) {
      throw Error("the model is too small for " + std::string(name), printable(model->file, 400), "fetch it again");
    }
    engine->model =
        std::make_shared<Unigram>(std::move(vocabulary), std::move(scores), Unigram::Settings{unk_id, false});
    engine->normalizer = normalizer(*model, config);
    const char* metaspace = R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true})";
    const Json alone = Json::parse(metaspace);
    const Json both = {{"type", "Sequence"},
                       {"pretokenizers", Json::array({Json{{"type", "WhitespaceSplit"}}, alone})}};
    engine->pre_tokenizer =
        make_pre_tokenizer(Fields(layout_.splits_white ? both : alone, model->file, "pre_tokenizer"));
    engine->decoder = make_metaspace_decoder({});
    add_control_pieces(*model, *engine);
    if (lstrip_mask && settings.special.mask_token && engine->find(*settings.special.mask_token)) {
      AddedToken mask = added_token(*settings.special.mask_token, true);
      mask.lstrip = true;
      engine->added.add({mask}, engine->model->vocabulary());
    }
    engine->added.add(more, engine->model->vocabulary());
    if (!marks_languages()) engine->post_processor = around(*engine, settings, std::nullopt, model->file);
    return engine;
  }

  bool marks_languages() const override { return layout_.language != nullptr; }
  PostProcessor around(const Engine& engine, const TokenizerSettings& settings,
                       const std::optional<std::string>& language, const std::string& file) const override {
    const std::string usual = layout_.language == nullptr ? "" : layout_.language;
    return make_template({layout_.single, layout_.pair}, engine, settings.special, name, file,
                         language.value_or(usual));
  }

 private:
  std::vector<std::string> pegasus_pieces(Fields& config, const SpecialTokens& special) const {
    const int64_t offset = layout_.pegasus ? config.integer("offset", 0, 100'000, 103) : 0;
    if (offset == 0) return {};
    std::vector<std::string> pieces = {config.string("mask_token_sent", "<mask_1>"),
                                       special.mask_token.value_or("<mask_2>")};
    for (int64_t i = 2; i < offset; ++i) pieces.push_back("<unk_" + std::to_string(i) + ">");
    return pieces;
  }

  std::vector<std::string> pieces_behind(Fields& config) const {
    std::vector<std::string> pieces;
    if (layout_.back == Layout::Back::extra_ids) {
      for (int64_t i = config.integer("extra_ids", 0, 100'000, 100); i-- > 0;) {
        pieces.push_back("<extra_id_" + std::to_string(i) + ">");
      }
    }
    for (int i = 0; i < 7 && layout_.back == Layout::Back::madeup_words; ++i) {
      pieces.push_back("<madeupword" + std::to_string(i) + ">");
    }
    if (layout_.back == Layout::Back::languages || layout_.back == Layout::Back::more_languages) {
      pieces.assign(std::begin(kLanguages), std::end(kLanguages));
    }
    if (layout_.back == Layout::Back::more_languages) {
      pieces.insert(pieces.end(), std::begin(kMoreLanguages), std::end(kMoreLanguages));
    }
    return pieces;
  }

  NormalizerPtr normalizer(const SentencePieceModel& model, Fields& config) const {
    constexpr const char* blanks = R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "})";
    std::vector<NormalizerPtr> parts;
    const auto put = [&](const char* json) { parts.push_back(normalizer_of(json, model.file)); };
    const auto put_map = [&] {
      if (!model.charsmap.empty()) parts.push_back(std::make_shared<Precompiled>(CharsMap(model.charsmap, model.file)));
    };
    switch (layout_.cleaning) {
      case Cleaning::none:
        return nullptr;
      case Cleaning::map:
        put_map();
        return parts.empty() ? nullptr : parts.front();
      case Cleaning::map_blanks:
        put_map();
        if (layout_.pegasus && model.charsmap.empty()) {
          put(R"({"type":"Replace","pattern":{"String":"\n"},"content":" "})");
        }
        put(blanks);
        break;
      case Cleaning::quotes_map:
      case Cleaning::quotes_map_blanks:
      case Cleaning::quotes_blank: {
        const bool blank = layout_.cleaning == Cleaning::quotes_blank;
        const bool behind = layout_.cleaning == Cleaning::quotes_map_blanks;
        put(R"({"type":"Replace","pattern":{"String":"``"},"content":"\""})");
        put(R"({"type":"Replace","pattern":{"String":"''"},"content":"\""})");
        if (blank) put(blanks);
        if (!config.boolean("keep_accents", blank || behind)) {
          put(R"({"type":"NFKD"})");
          put(R"({"type":"StripAccents"})");
        }
        if (config.boolean("do_lower_case", layout_.lowers)) put(R"({"type":"Lowercase"})");
        put_map();
        if (behind) put(blanks);
        break;
      }
      case Cleaning::blank_marks:
        put(R"({"type":"Strip","strip_left":false,"strip_right":false})");
        put(R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":"▁"})");
        break;
      case Cleaning::lines_nfc:
        if (config.boolean("do_lower_case", layout_.lowers)) put(R"({"type":"Lowercase"})");
        put(R"({"type":"Replace","pattern":{"Regex":"\\s{2,}|[\\n\\r\\t]"},"content":" "})");
        put(R"({"type":"NFC"})");
        put(R"({"type":"Strip","strip_left":false,"strip_right":true})");
        break;
    }
    return std::make_shared<NormalizerSequence>(std::move(parts));
  }

  std::string file_name_;
  Layout layout_;
};

// Llama and its relatives: BPE with byte fallback, the whole text one word.
class LlamaClass : public TokenizerClass {
 public:
  LlamaClass(const char* class_name, DefaultTokens defaults, bool begins = true, bool by_score = true)
      : TokenizerClass(class_name, defaults), begins_(begins), by_score_(by_score) {
    padding_side = Side::left;
  }
  std::vector<std::string> files() const override { return {"tokenizer.model"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const auto model = read_bpe_model(*this, folder);
    Fields config(settings.config, model->file, "tokenizer_config");
    auto engine = std::make_shared<Engine>();
    Bpe::Settings bpe;
    bpe.fuse_unk = true;
    bpe.byte_fallback = true;
    engine->model = std::make_shared<Bpe>(model->vocabulary, merges_of_pieces(*model, by_score_), bpe, model->file);
    const bool prefix = put_marks(config, model->file, *engine);
    Json decoders = Json::array({Json::parse(R"({"type":"Replace","pattern":{"String":"▁"},"content":" "})"),
                                 Json::parse(R"({"type":"ByteFallback"})"), Json::parse(R"({"type":"Fuse"})")});
    if (prefix) decoders.push_back(Json::parse(R"({"type":"Strip","content":" ","start":1,"stop":0})"));
    const Json decoder = {{"type", "Sequence"}, {"decoders", decoders}};
    engine->decoder = make_decoder(Fields(decoder, model->file, "decoder"));
    add_control_pieces(*model, *engine);
    const Json post =
        template_json(*engine, config.boolean("add_bos_token", begins_) ? settings.special.bos_token : std::nullopt,
                      config.boolean("add_eos_token", false) ? settings.special.eos_token : std::nullopt, model->file);
    engine->post_processor = PostProcessor(Fields(post, model->file, "post_processor"));
    return engine;
  }

 protected:
  // Turns blanks into marks; whether one more goes before the text, which decoding takes off again.
  virtual bool put_marks(Fields& config, const std::string& file, Engine& engine) const {
    const bool prefix = config.boolean("add_prefix_space", true);
    using Prepend = MetaspaceSettings::Prepend;
    if (config.boolean("legacy", false)) {
      std::vector<NormalizerPtr> parts;
      if (prefix) parts.push_back(normalizer_of(R"({"type":"Prepend","prepend":"▁"})", file));
      parts.push_back(normalizer_of(R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})", file));
      engine.normalizer = std::make_shared<NormalizerSequence>(std::move(parts));
    } else {
      engine.pre_tokenizer = std::make_shared<MetaspacePreTokenizer>(
          MetaspaceSettings{.prepend = prefix ? Prepend::first : Prepend::never, .split = false});
    }
    return prefix;
  }

 private:
  static Json template_json(const Engine& engine, const std::optional<std::string>& bos,
                            const std::optional<std::string>& eos, const std::string& file) {
    Json table = Json::object();
    const auto part = [&](const char* sequence, int type) {
      Json list = Json::array();
      const auto put = [&](const std::optional<std::string>& token) {
        if (!token) return;
        const auto id = engine.find(*token);
        if (!id) {
          throw Error("the vocabulary lacks \"" + printable(*token, 60) + "\"", printable(file, 400),
                      "name another token in tokenizer_config.json");
        }
        list.push_back(Json{{"SpecialToken", Json{{"id", *token}, {"type_id", type}}}});
        table[*token] = Json{{"id", *token}, {"ids", Json::array({*id})}, {"tokens", Json::array({*token})}};
      };
      put(bos);
      list.push_back(Json{{"Sequence", Json{{"id", sequence}, {"type_id", type}}}});
      put(eos);
      return list;
    };
    const Json single = part("A", 0), second = part("B", 1);
    Json pair = single;
    pair.insert(pair.end(), second.begin(), second.end());
    return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", table}};
  }

  bool begins_;    // with the bos token, where tokenizer_config.json says nothing
  bool by_score_;  // merges, rather than by id
};

// Gemma: as Llama, but nothing goes before the text, and merges come in the order of the pieces.
class GemmaClass : public LlamaClass {
 public:
  GemmaClass(const char* class_name, DefaultTokens defaults) : LlamaClass(class_name, defaults, false, false) {}

 private:
  bool put_marks(Fields&, const std::string& file, Engine& engine) const override {
    engine.normalizer = normalizer_of(R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})", file);
    return false;
  }
};

constexpr DefaultTokens kFairseq = {
    .bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>", .cls = "<s>", .mask = "<mask>"};
constexpr DefaultTokens kAlbert = {
    .bos = "[CLS]", .eos = "[SEP]", .unk = "<unk>", .sep = "[SEP]", .pad = "<pad>", .cls = "[CLS]", .mask = "[MASK]"};
constexpr const char* kRobertaSingle = "{cls} $A {sep}";
constexpr const char* kRobertaPair = "{cls} $A {sep} {sep} $B {sep}";
constexpr const char* kBertPair = "{cls} $A {sep} $B:1 {sep}:1";
const std::vector<const char*> kFairseqFront = {"{bos}", "{pad}", "{eos}", "{unk}"};

std::vector<std::unique_ptr<TokenizerClass>> make_classes() {
  using Back = Layout::Back;
  std::vector<std::unique_ptr<TokenizerClass>> all;
  const auto add = [&](const char* name, const char* file, DefaultTokens tokens, Layout layout) -> TokenizerClass& {
    return *all.emplace_back(std::make_unique<SentencePieceClass>(name, file, tokens, std::move(layout)));
  };
  add("T5Tokenizer", "spiece.model", {.eos = "</s>", .unk = "<unk>", .pad = "<pad>"},
      {.back = Back::extra_ids, .unk_id = 2, .single = "$A {eos}", .pair = "$A {eos} $B {eos}"});
  add("XLMRobertaTokenizer", "sentencepiece.bpe.model", kFairseq,
      {.front = kFairseqFront,
       .skip = 3,
       .back = Back::mask,
       .unk_id = 3,
       .single = kRobertaSingle,
       .pair = kRobertaPair});
  add("CamembertTokenizer", "sentencepiece.bpe.model", kFairseq,
      {.front = {"<s>NOTUSED", "{pad}", "</s>NOTUSED", "{unk}", "<unk>NOTUSED"},
       .skip = 1,
       .back = Back::mask,
       .unk_id = 3,
       .single = kRobertaSingle,
       .pair = kRobertaPair})
      .lstrip_mask = true;
  TokenizerClass& albert =
      add("AlbertTokenizer", "spiece.model", kAlbert,
          {.unk_id = 1, .cleaning = Cleaning::quotes_map, .single = kRobertaSingle, .pair = kBertPair, .lowers = true});
  albert.type_ids = albert.lstrip_mask = true;
  TokenizerClass& xlnet = add(
      "XLNetTokenizer", "spiece.model",
      {.bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "<sep>", .pad = "<pad>", .cls = "<cls>", .mask = "<mask>"},
      {.cleaning = Cleaning::quotes_map, .single = "$A {sep} {cls}:2", .pair = "$A {sep} $B:1 {sep}:1 {cls}:2"});
  xlnet.type_ids = xlnet.lstrip_mask = true;
  xlnet.padding_side = Side::left;
  add("MBartTokenizer", "sentencepiece.bpe.model", kFairseq,
      {.front = kFairseqFront,
       .skip = 3,
       .back = Back::languages,
       .unk_id = 3,
       .cleaning = Cleaning::none,
       .single = "$A {eos} {language}",
       .pair = "$A $B {eos} {language}",
       .language = "en_XX"})
      .lstrip_mask = true;
  add("MBart50Tokenizer", "sentencepiece.bpe.model", kFairseq,
      {.front = kFairseqFront,
       .skip = 3,
       .back = Back::more_languages,
       .unk_id = 3,
       .cleaning = Cleaning::map_blanks,
       .splits_white = false,
       .single = "{language} $A {eos}",
       .pair = "{language} $A $B {eos}",
       .language = "en_XX"})
      .lstrip_mask = true;
  add("BigBirdTokenizer", "spiece.model",
      {.bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "[SEP]", .pad = "<pad>", .cls = "[CLS]", .mask = "[MASK]"},
      {.cleaning = Cleaning::blank_marks, .splits_white = false, .single = kRobertaSingle, .pair = kBertPair})
      .lstrip_mask = true;
  add("DebertaV2Tokenizer", "spm.model",
      {.bos = "[CLS]",
       .eos = "[SEP]",
       .unk = "[UNK]",
       .sep = "[SEP]",
       .pad = "[PAD]",
       .cls = "[CLS]",
       .mask = "[MASK]"},
      {.cleaning = Cleaning::lines_nfc, .splits_white = false, .single = kRobertaSingle, .pair = kBertPair})
      .type_ids = true;
  add("PegasusTokenizer", "spiece.model", {.eos = "</s>", .unk = "<unk>", .pad = "<pad>", .mask = "<mask_2>"},
      {.front = {"{pad}", "{eos}"},
       .skip = 2,
       .unk_id = 2,
       .pegasus = true,
       .cleaning = Cleaning::map_blanks,
       .splits_white = false,
       .single = "$A {eos}",
       .pair = "$A $B {eos}"});
  TokenizerClass& fnet = add("FNetTokenizer", "spiece.model",
                             {.unk = "<unk>", .sep = "[SEP]", .pad = "<pad>", .cls = "[CLS]", .mask = "[MASK]"},
                             {.unk_id = -1,
                              .cleaning = Cleaning::quotes_map_blanks,
                              .splits_white = false,
                              .single = kRobertaSingle,
                              .pair = kBertPair});
  fnet.type_ids = fnet.lstrip_mask = true;
  fnet.attention_mask = false;
  add("XGLMTokenizer", "sentencepiece.bpe.model",
      {.bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>", .cls = "<s>"},
      {.front = kFairseqFront,
       .skip = 3,
       .back = Back::madeup_words,
       .unk_id = 3,
       .cleaning = Cleaning::map_blanks,
       .splits_white = false,
       .single = "{eos} $A",
       .pair = "{eos} $A {eos} {eos} $B"});
  add("BarthezTokenizer", "sentencepiece.bpe.model", kFairseq,
      {.unk_id = 3, .cleaning = Cleaning::lines_nfc, .splits_white = false})
      .lstrip_mask = true;
  add("RemBertTokenizer", "sentencepiece.model",
      {.bos = "[CLS]",
       .eos = "[SEP]",
       .unk = "<unk>",
       .sep = "[SEP]",
       .pad = "<pad>",
       .cls = "[CLS]",
       .mask = "[MASK]"},
      {.unk_id = 2, .cleaning = Cleaning::quotes_blank, .splits_white = false})
      .type_ids = true;
  const DefaultTokens llama = {.bos = "<s>", .eos = "</s>", .unk = "<unk>"};
  all.push_back(std::make_unique<LlamaClass>("LlamaTokenizer", llama));
  all.push_back(std::make_unique<LlamaClass>("CodeLlamaTokenizer", llama));
  all.push_back(std::make_unique<GemmaClass>(
      "GemmaTokenizer",
      DefaultTokens{.bos = "<bos>", .eos = "<eos>", .unk = "<unk>", .pad = "<pad>", .mask = "<mask>"}));
  return all;
}

}  // namespace

TokenizerClasses sentencepiece_classes() {
  static const std::vector<std::unique_ptr<TokenizerClass>> classes = make_classes();
  static const std::vector<const TokenizerClass*> all = [] {
    std::vector<const TokenizerClass*> pointers;
    for (const auto& one : classes) pointers.push_back(one.get());
    return pointers;
  }();
  return all;
}

}  // namespace mica
