// Classes that cut with SentencePiece's own code: BARTpho (numbers by a list of the pieces that it has), mLUKE and
// XLM-ProphetNet (behind tokens of their own), and CPM (numbers as the model's).

#include <algorithm>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/cpm.h"
#include "mica/tokenizers/models/marian.h"
#include "mica/tokenizers/readers/merges_txt.h"
#include "mica/tokenizers/readers/sentencepiece_parts.h"

namespace mica {
namespace {

constexpr DefaultTokens kFairseq = {
    .bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>", .cls = "<s>", .mask = "<mask>"};
constexpr Template kRoberta = {"{cls} $A {sep}", "{cls} $A {sep} {sep} $B {sep}"};

class NumberedPiecesClass : public TokenizerClass {
 public:
  NumberedPiecesClass(const char* class_name, DefaultTokens defaults, std::string files, Template around)
      : TokenizerClass(class_name, defaults), files_(std::move(files)), around_(around) {}
  std::vector<std::string> files() const override { return {files_}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const auto model = read_model_of_class(*this, folder);
    const auto vocabulary = number(*model, folder, settings);
    const int32_t unk = need_token(*vocabulary, settings.special.unk_token, "unk_token", model->file);
    const auto engine = make_sentencepiece_engine(model);
    engine->model =
        std::make_shared<Marian>(std::dynamic_pointer_cast<const SentencePiece>(engine->model), vocabulary, unk);
    // What the files add to the vocabulary stands alone.
    std::vector<std::string> apart;
    for (const std::string& token : settings.special.additional_special_tokens) {
      if (!vocabulary->find(token)) apart.push_back(token);
    }
    engine->decoder = make_marks_decoder(model->file, std::move(apart));
    add_special_tokens(*engine, settings.special, lstrip_mask);
    engine->post_processor = make_template(around_, *engine, settings.special, name, model->file);
    return engine;
  }

 protected:
  /// The tokens in front, then the model's pieces from the fourth on, then those behind.
  static std::shared_ptr<const Vocabulary> around_pieces(const std::vector<std::string>& front,
                                                         const SentencePieceModel& model,
                                                         const std::vector<std::string>& behind) {
    auto vocabulary = std::make_shared<Vocabulary>();
    int64_t next = 0;
    for (const std::string& token : front) vocabulary->add(token, next++, model.file);
    for (int32_t id = 3; id < model.size(); ++id) vocabulary->add(model.piece(id), next++, model.file);
    for (const std::string& token : behind) vocabulary->add(token, next++, model.file);
    vocabulary->finish(model.file);
    return vocabulary;
  }

 private:
  virtual std::shared_ptr<const Vocabulary> number(const SentencePieceModel& model, const std::string& folder,
                                                   TokenizerSettings& settings) const = 0;

  std::string files_;
  Template around_;
};

class BartphoClass : public NumberedPiecesClass {
 public:
  BartphoClass() : NumberedPiecesClass("BartphoTokenizer", kFairseq, "sentencepiece.bpe.model dict.txt", kRoberta) {
    lstrip_mask = true;
  }

 private:
  std::shared_ptr<const Vocabulary> number(const SentencePieceModel&, const std::string& folder,
                                           TokenizerSettings& settings) const override {
    const std::string path = join_path(folder, "dict.txt");
    const SpecialTokens& special = settings.special;
    std::vector<std::string> first;
    for (const auto& token : {special.bos_token, special.pad_token, special.eos_token, special.unk_token,
                              special.sep_token, special.cls_token}) {
      if (std::find(first.begin(), first.end(), token.value_or("")) == first.end()) first.push_back(token.value_or(""));
    }
    return parse_piece_list(read_file(path), first, special.mask_token.value_or(""), path);
  }
};

class MlukeClass : public NumberedPiecesClass {
 public:
  MlukeClass() : NumberedPiecesClass("MLukeTokenizer", kFairseq, "sentencepiece.bpe.model", kRoberta) {
    lstrip_mask = true;
  }

 private:
  std::shared_ptr<const Vocabulary> number(const SentencePieceModel& model, const std::string& folder,
                                           TokenizerSettings& settings) const override {
    Fields config(settings.config, join_path(folder, "tokenizer_config.json"), "tokenizer_config");
    add_entity_tokens(config, settings.special);
    return around_pieces({"<s>", "<pad>", "</s>", "<unk>"}, model, {"<mask>"});
  }
};

class XlmProphetNetClass : public NumberedPiecesClass {
 public:
  XlmProphetNetClass()
      : NumberedPiecesClass("XLMProphetNetTokenizer",
                            {.bos = "[SEP]",
                             .eos = "[SEP]",
                             .unk = "[UNK]",
                             .sep = "[SEP]",
                             .pad = "[PAD]",
                             .cls = "[CLS]",
                             .mask = "[MASK]"},
                            "prophetnet.tokenizer", {"$A {sep}", "$A {sep} $B {sep}"}) {}

 private:
  std::shared_ptr<const Vocabulary> number(const SentencePieceModel& model, const std::string&,
                                           TokenizerSettings&) const override {
    std::vector<std::string> front = {"[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"};
    for (int i = 0; i < 10; ++i) front.push_back("[unused" + std::to_string(i) + "]");
    return around_pieces(front, model, {});
  }
};

class CpmClass : public TokenizerClass {
 public:
  CpmClass()
      : TokenizerClass("CpmTokenizer", {.bos = "<s>",
                                        .eos = "</s>",
                                        .unk = "<unk>",
                                        .sep = "<sep>",
                                        .pad = "<pad>",
                                        .cls = "<cls>",
                                        .mask = "<mask>"}) {
    lstrip_mask = true;
  }
  std::vector<std::string> files() const override { return {"spiece.model"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const auto model = read_model_of_class(*this, folder);
    Fields config(settings.config, join_path(folder, "tokenizer_config.json"), "tokenizer_config");
    const auto engine = make_sentencepiece_engine(model);
    engine->model = std::make_shared<CpmPieces>(model);
    engine->normalizer = std::make_shared<NormalizerSequence>(std::vector<NormalizerPtr>{
        std::make_shared<CpmNormalizer>(CpmNormalizer::Settings{.joins_white = config.boolean("remove_space", true),
                                                                .keeps_accents = config.boolean("keep_accents", false),
                                                                .lowers = config.boolean("do_lower_case", false)}),
        engine->normalizer});
    engine->decoder = make_cpm_decoder();
    if (settings.special.additional_special_tokens.empty()) {
      settings.special.additional_special_tokens = {"<eop>", "<eod>"};
    }
    settings.pad_token_type_id = 3;
    add_special_tokens(*engine, settings.special, lstrip_mask);
    engine->post_processor = make_template({"$A {sep} {cls}:2", "$A {sep} $B:1 {sep}:1 {cls}:2"}, *engine,
                                           settings.special, name, model->file);
    return engine;
  }
};

}  // namespace

TokenizerClasses piece_classes() {
  static const BartphoClass bartpho;
  static const MlukeClass mluke;
  static const XlmProphetNetClass xlm_prophetnet;
  static const CpmClass cpm;
  static const TokenizerClass* const all[] = {&bartpho, &mluke, &xlm_prophetnet, &cpm};
  return all;
}

}  // namespace mica
