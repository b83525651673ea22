// Classes that the reference keeps in Python, without a tokenizer.json: SentencePiece's own cutting with a few tokens
// around it (BertGeneration, GPT-SW3), and ESM's letters.

#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/marian_decoder.h"
#include "mica/tokenizers/models/marian.h"
#include "mica/tokenizers/models/word_level.h"
#include "mica/tokenizers/python_text.h"
#include "mica/tokenizers/readers/sentencepiece_parts.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

std::vector<std::string> special_contents(const SpecialTokens& special) {
  std::vector<std::string> contents = special.additional_special_tokens;
  for (const NamedToken& named : named_special_tokens()) {
    if (const auto& value = special.*named.value) contents.push_back(*value);
  }
  return contents;
}

// Pieces and ids are the model's; what it lacks of the special tokens comes behind them.
class PlainPiecesClass : public TokenizerClass {
 public:
  PlainPiecesClass(const char* class_name, DefaultTokens defaults, bool gpt_sw3)
      : TokenizerClass(class_name, defaults), gpt_sw3_(gpt_sw3) {}
  std::vector<std::string> files() const override { return {"spiece.model"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const auto model = read_model_of_class(*this, folder);
    const auto engine = make_sentencepiece_engine(model);
    engine->model = std::make_shared<Marian>(std::dynamic_pointer_cast<const SentencePiece>(engine->model),
                                             model->vocabulary, model->unk_id);
    if (gpt_sw3_) {
      engine->normalizer = std::make_shared<NormalizerSequence>(std::vector<NormalizerPtr>{
          normalizer_of(R"({"type":"Replace","content":"","pattern":{"Regex":)"
                        R"("[\\x{00}-\\x{08}\\x{0b}-\\x{1f}\\x{7f}-\\x{a0}\\x{ad}\\x{200b}]"}})",
                        model->file),
          normalizer_of(R"({"type":"Replace","content":" ","pattern":{"Regex":)"
                        R"("[\\x{2002}\\x{2003}\\x{2005}\\x{2008}-\\x{200a}\\x{202f}\\x{3000}\\x{fffc}]"}})",
                        model->file),
          normalizer_of(R"({"type":"NFC"})", model->file), engine->normalizer});
      engine->decoder = make_marian_decoder(engine->decoder, special_contents(settings.special), Special::space_before);
    } else {
      engine->decoder = make_marks_decoder(model->file);
    }
    add_special_tokens(*engine, settings.special);
    return engine;
  }

 private:
  bool gpt_sw3_;
};

// Every token of vocab.txt is found in the text; what is left between them is unknown, a word between white space each.
class EsmClass : public TokenizerClass {
 public:
  EsmClass()
      : TokenizerClass("EsmTokenizer",
                       {.eos = "<eos>", .unk = "<unk>", .pad = "<pad>", .cls = "<cls>", .mask = "<mask>"}) {}
  std::vector<std::string> files() const override { return {"vocab.txt"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const std::string path = join_path(folder, "vocab.txt");
    std::string text = read_file(path);
    if (!utf8::is_valid(text)) throw Error("vocabulary is not UTF-8", printable(path, 400), "fetch the file again");
    const auto vocabulary = std::make_shared<Vocabulary>();
    std::vector<AddedToken> found;
    int64_t next = 0;
    for (size_t at = 0; at < text.size(); ++next) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view token = strip_python_space(std::string_view(text).substr(at, end - at));
      at = end + 1;
      if (token.empty()) continue;
      vocabulary->add(token, next, path);
      found.push_back(added_token(std::string(token), false));
    }
    vocabulary->finish(path);
    const std::string unk = settings.special.unk_token.value_or("");
    need_token(*vocabulary, unk, "unk_token", path);
    auto engine = std::make_shared<Engine>();
    engine->model = std::make_shared<WordLevel>(vocabulary, unk);
    const Json white =
        Json::parse(R"({"type":"Split","pattern":{"Regex":"[\\s\\x{1c}-\\x{1f}]+"},"behavior":"Removed",)"
                    R"("invert":false})");
    engine->pre_tokenizer = make_pre_tokenizer(Fields(white, path, "pre_tokenizer"));
    add_special_tokens(*engine, settings.special);
    engine->added.add(found, *vocabulary);
    engine->post_processor =
        make_template({"{cls} $A {eos}", "{cls} $A {eos} $B:1 {eos}:1"}, *engine, settings.special, name, path);
    return engine;
  }
};

}  // namespace

TokenizerClasses python_classes() {
  static const PlainPiecesClass bert_generation(
      "BertGenerationTokenizer", {.bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "<::::>", .pad = "<pad>"}, false);
  static const PlainPiecesClass gpt_sw3("GPTSw3Tokenizer",
                                        {.bos = "<s>", .eos = "<|endoftext|>", .unk = "<unk>", .pad = "<pad>"}, true);
  static const EsmClass esm;
  static const TokenizerClass* const all[] = {&bert_generation, &gpt_sw3, &esm};
  return all;
}

}  // namespace mica
