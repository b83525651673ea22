// Classes of many languages whose pieces get numbers of their own: NLLB (byte pairs of a SentencePiece model), M2M100
// (its pieces numbered by vocab.json) and PLBart (numbered as fairseq does). Behind the pieces come the languages'
// tokens, one of which goes around each text.

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/marian_decoder.h"
#include "mica/tokenizers/metaspace.h"
#include "mica/tokenizers/models/marian.h"
#include "mica/tokenizers/precompiled.h"
#include "mica/tokenizers/readers/merges_txt.h"
#include "mica/tokenizers/readers/sentencepiece_parts.h"
#include "mica/tokenizers/word_list.h"

namespace mica {
namespace {

constexpr std::string_view kNllb =
    "ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn amh_Ethi apc_Arab arb_Arab "
    "ars_Arab ary_Arab arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn "
    "ban_Latn bel_Cyrl bem_Latn ben_Beng bho_Deva bjn_Arab bjn_Latn bod_Tibt bos_Latn bug_Latn bul_Cyrl "
    "cat_Latn ceb_Latn ces_Latn cjk_Latn ckb_Arab crh_Latn cym_Latn dan_Latn deu_Latn dik_Latn dyu_Latn "
    "dzo_Tibt ell_Grek eng_Latn epo_Latn est_Latn eus_Latn ewe_Latn fao_Latn pes_Arab fij_Latn fin_Latn "
    "fon_Latn fra_Latn fur_Latn fuv_Latn gla_Latn gle_Latn glg_Latn grn_Latn guj_Gujr hat_Latn hau_Latn "
    "heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn "
    "jav_Latn jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab kas_Deva kat_Geor knc_Arab knc_Latn "
    "kaz_Cyrl kbp_Latn kea_Latn khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn kon_Latn kor_Hang kmr_Latn "
    "lao_Laoo lvs_Latn lij_Latn lim_Latn lin_Latn lit_Latn lmo_Latn ltg_Latn ltz_Latn lua_Latn lug_Latn "
    "luo_Latn lus_Latn mag_Deva mai_Deva mal_Mlym mar_Deva min_Latn mkd_Cyrl plt_Latn mlt_Latn mni_Beng "
    "khk_Cyrl mos_Latn mri_Latn zsm_Latn mya_Mymr nld_Latn nno_Latn nob_Latn npi_Deva nso_Latn nus_Latn "
    "nya_Latn oci_Latn gaz_Latn ory_Orya pag_Latn pan_Guru pap_Latn pol_Latn por_Latn prs_Arab pbt_Arab "
    "quy_Latn ron_Latn run_Latn rus_Cyrl sag_Latn san_Deva sat_Beng scn_Latn shn_Mymr sin_Sinh slk_Latn "
    "slv_Latn smo_Latn sna_Latn snd_Arab som_Latn sot_Latn spa_Latn als_Latn srd_Latn srp_Cyrl ssw_Latn "
    "sun_Latn swe_Latn swh_Latn szl_Latn tam_Taml tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi "
    "taq_Latn taq_Tfng tpi_Latn tsn_Latn tso_Latn tuk_Latn tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab "
    "ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn vie_Latn war_Latn wol_Latn xho_Latn ydd_Hebr yor_Latn "
    "yue_Hant zho_Hans zho_Hant zul_Latn";
constexpr std::string_view kM2M100 =
    "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi "
    "hr ht hu hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns "
    "oc or pa pl ps pt ro ru sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh "
    "zu";
constexpr std::string_view kWmt21 = "en ha is ja cs ru zh de";
constexpr std::string_view kPlbartBase = "__java__ __python__ __en_XX__";
constexpr std::string_view kPlbartMulti = "__java__ __python__ __en_XX__ __javascript__ __php__ __ruby__ __go__";

constexpr DefaultTokens kFairseq = {
    .bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>", .cls = "<s>", .mask = "<mask>"};

class LanguageClass : public TokenizerClass {
 public:
  using TokenizerClass::TokenizerClass;
  bool marks_languages() const override { return true; }

 protected:
  // Numbers as fairseq gives them: four tokens of its own, then the model's pieces without those that they stand for.
  static std::shared_ptr<Vocabulary> fairseq_vocabulary(const SentencePieceModel& model, const SpecialTokens& special) {
    auto vocabulary = std::make_shared<Vocabulary>();
    const std::string first[] = {special.bos_token.value_or("<s>"), special.pad_token.value_or("<pad>"),
                                 special.eos_token.value_or("</s>"), special.unk_token.value_or("<unk>")};
    int64_t next = 0;
    for (const std::string& token : first) vocabulary->add(token, next++, model.file);
    for (int32_t id = 0; id < model.size(); ++id) {
      const std::string_view piece = model.piece(id);
      if (std::find(std::begin(first), std::end(first), piece) == std::end(first)) {
        vocabulary->add(piece, next++, model.file);
      }
    }
    return vocabulary;
  }

  static std::vector<AddedToken> special_tokens(const std::vector<std::string>& contents) {
    std::vector<AddedToken> tokens;
    for (const std::string& content : contents) tokens.push_back(added_token(content, true));
    return tokens;
  }
};

class NllbClass : public LanguageClass {
 public:
  NllbClass() : LanguageClass("NllbTokenizer", kFairseq) {}
  std::vector<std::string> files() const override { return {"sentencepiece.bpe.model"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const auto model = read_bpe_model(*this, folder);
    auto engine = std::make_shared<Engine>();
    const auto vocabulary = fairseq_vocabulary(*model, settings.special);
    vocabulary->finish(model->file);
    Bpe::Settings bpe;
    bpe.unk_token = settings.special.unk_token;
    bpe.fuse_unk = true;
    engine->model = std::make_shared<Bpe>(vocabulary, merges_of_pieces(*model, false), bpe, model->file);
    if (!model->charsmap.empty()) {
      engine->normalizer = std::make_shared<NormalizerSequence>(std::vector<NormalizerPtr>{
          std::make_shared<Precompiled>(CharsMap(model->charsmap, model->file)),
          normalizer_of(R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "})", model->file)});
    }
    engine->pre_tokenizer = std::make_shared<MetaspacePreTokenizer>(MetaspaceSettings{});
    engine->decoder = make_metaspace_decoder({});
    engine->added.add(special_tokens({"<s>", "<pad>", "</s>", "<unk>"}), *vocabulary);
    engine->added.add(special_tokens(words_of(kNllb)), *vocabulary);
    AddedToken mask = added_token(settings.special.mask_token.value_or("<mask>"), true);
    mask.lstrip = mask.normalized = true;
    engine->added.add({mask}, *vocabulary);
    return engine;
  }

  PostProcessor around(const Engine& engine, const TokenizerSettings& settings,
                       const std::optional<std::string>& language, const std::string& file) const override {
    constexpr Template kBefore = {"{language} $A {eos}", "{language} $A $B {eos}"};
    constexpr Template kBehind = {"$A {eos} {language}", "$A $B {eos} {language}"};
    const bool legacy = Fields(settings.config, file, "tokenizer_config").boolean("legacy_behaviour", false);
    return make_template(legacy ? kBehind : kBefore, engine, settings.special, name, file,
                         language.value_or("eng_Latn"));
  }
};

class M2M100Class : public LanguageClass {
 public:
  M2M100Class()
      : LanguageClass("M2M100Tokenizer", {.bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>"}) {
  }
  std::vector<std::string> files() const override { return {"vocab.json sentencepiece.bpe.model"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const std::string path = join_path(folder, "vocab.json"), file = join_path(folder, "sentencepiece.bpe.model");
    Fields config(settings.config, join_path(folder, "tokenizer_config.json"), "tokenizer_config");
    std::vector<std::string> languages =
        words_of(config.choice("language_codes", {"m2m100", "wmt21"}, 0) == 0 ? kM2M100 : kWmt21);
    for (std::string& language : languages) language = "__" + language + "__";
    const auto written = read_vocab_json(path);
    auto vocabulary = std::make_shared<Vocabulary>();
    for (int64_t id = 0; id < written->id_bound(); ++id) {
      if (written->contains(static_cast<int32_t>(id))) {
        vocabulary->add(written->token(static_cast<int32_t>(id)), id, path);
      }
    }
    int64_t next = written->size();
    for (const std::string& language : languages) vocabulary->add(language, next++, path);
    vocabulary->finish(path);
    const int32_t unk = need_token(*vocabulary, settings.special.unk_token, "unk_token", path);
    const auto engine = make_sentencepiece_engine(
        std::make_shared<SentencePieceModel>(read_sentencepiece_model(read_file(file), file)));
    engine->model =
        std::make_shared<Marian>(std::dynamic_pointer_cast<const SentencePiece>(engine->model), vocabulary, unk);
    std::vector<std::string> special = settings.special.additional_special_tokens;
    special.insert(special.end(), languages.begin(), languages.end());
    for (const NamedToken& named : named_special_tokens()) {
      if (const auto& value = settings.special.*named.value) special.push_back(*value);
    }
    engine->decoder = make_marian_decoder(engine->decoder, std::move(special), Special::nothing);
    engine->added.add(special_tokens(languages), *vocabulary);
    return engine;
  }

  PostProcessor around(const Engine& engine, const TokenizerSettings& settings,
                       const std::optional<std::string>& language, const std::string& file) const override {
    return make_template({"{language} $A {eos}", "{language} $A $B {eos}"}, engine, settings.special, name, file,
                         "__" + language.value_or("en") + "__");
  }
};

class PlbartClass : public LanguageClass {
 public:
  PlbartClass() : LanguageClass("PLBartTokenizer", kFairseq) { plain_targets = true; }
  std::vector<std::string> files() const override { return {"sentencepiece.bpe.model"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const auto model = read_model_of_class(*this, folder);
    const auto vocabulary = fairseq_vocabulary(*model, {});
    const std::vector<std::string> languages = words_of(is_base(settings, model->file) ? kPlbartBase : kPlbartMulti);
    int64_t next = int64_t{model->size()} + 1;
    for (const std::string& language : languages) vocabulary->add(language, next++, model->file);
    if (is_base(settings, model->file)) vocabulary->add("<mask>", next, model->file);
    vocabulary->finish(model->file);
    Fields config(settings.config, model->file, "tokenizer_config");
    settings.clean_up_tokenization_spaces = config.boolean("clean_up_tokenization_spaces", true);
    const auto engine = make_sentencepiece_engine(model);
    engine->model =
        std::make_shared<Marian>(std::dynamic_pointer_cast<const SentencePiece>(engine->model), vocabulary, 3);
    engine->decoder = make_marks_decoder(model->file);
    engine->added.add(special_tokens(languages), *vocabulary);
    return engine;
  }

  PostProcessor around(const Engine& engine, const TokenizerSettings& settings,
                       const std::optional<std::string>& language, const std::string& file) const override {
    // A text of nobody knows which language has none.
    if (!language) return make_template({"$A {eos}", "$A $B {eos}"}, engine, settings.special, name, file);
    const std::string marked = "__" + *language + "__";
    return make_template({"$A {eos} {language}", "$A $B {eos} {language}"}, engine, settings.special, name, file,
                         engine.find(marked) ? marked : *language);
  }

  std::optional<std::string> usual_source(const TokenizerSettings& settings, const std::string& file) const override {
    return is_base(settings, file) ? std::nullopt : std::optional<std::string>("en_XX");
  }

 private:
  static bool is_base(const TokenizerSettings& settings, const std::string& file) {
    return Fields(settings.config, file, "tokenizer_config").choice("language_codes", {"base", "multi"}, 0) == 0;
  }
};

// SeamlessM4T: the model's pieces behind <pad>; a target begins with </s> and its language.
class SeamlessClass : public LanguageClass {
 public:
  SeamlessClass()
      : LanguageClass("SeamlessM4TTokenizer",
                      {.bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>", .cls = "<s>"}) {}
  std::vector<std::string> files() const override { return {"sentencepiece.bpe.model"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const auto model = read_bpe_model(*this, folder);
    auto vocabulary = std::make_shared<Vocabulary>();
    vocabulary->add("<pad>", 0, model->file);
    for (int32_t id = 0; id < model->size(); ++id) vocabulary->add(model->piece(id), id + 1, model->file);
    vocabulary->finish(model->file);
    auto engine = std::make_shared<Engine>();
    engine->model =
        std::make_shared<Bpe>(vocabulary, merges_of_pieces(*model, false),
                              Bpe::Settings{.unk_token = settings.special.unk_token, .fuse_unk = true}, model->file);
    engine->normalizer = normalizer_of(R"({"type":"Sequence","normalizers":[
        {"type":"Replace","pattern":{"Regex":"[\\n\\r\\t]"},"content":" "},
        {"type":"NFKC"},
        {"type":"Strip","strip_left":false,"strip_right":true},
        {"type":"Replace","pattern":{"Regex":" +▁"},"content":"▁"},
        {"type":"Replace","pattern":{"Regex":"^▁+$"},"content":""},
        {"type":"Replace","pattern":{"Regex":" {2,}"},"content":"▁"}]})",
                                       model->file);
    const MetaspaceSettings marks{.prepend = MetaspaceSettings::Prepend::first};
    engine->pre_tokenizer = std::make_shared<MetaspacePreTokenizer>(marks);
    engine->decoder = make_metaspace_decoder(marks);
    add_special_tokens(*engine, settings.special);
    return engine;
  }

  PostProcessor around(const Engine& engine, const TokenizerSettings& settings,
                       const std::optional<std::string>& language, const std::string& file) const override {
    return make_template({"{language} $A {eos}", "{language} $A $B {eos}"}, engine, settings.special, name, file,
                         marked(language.value_or("eng")));
  }
  PostProcessor around_target(const Engine& engine, const TokenizerSettings& settings,
                              const std::optional<std::string>& language, const std::string& file) const override {
    return make_template({"{eos} {language} $A {eos}", "{eos} {language} $A $B {eos}"}, engine, settings.special, name,
                         file, marked(language.value_or("fra")));
  }
  std::optional<std::string> usual_source(const TokenizerSettings&, const std::string&) const override { return "eng"; }
  std::optional<std::string> usual_target() const override { return "fra"; }

 private:
  static std::string marked(const std::string& language) {
    return language.find("__") == language.npos ? "__" + language + "__" : language;
  }
};

}  // namespace

TokenizerClasses translation_classes() {
  static const NllbClass nllb;
  static const M2M100Class m2m100;
  static const PlbartClass plbart;
  static const SeamlessClass seamless;
  static const TokenizerClass* const all[] = {&nllb, &m2m100, &plbart, &seamless};
  return all;
}

}  // namespace mica
