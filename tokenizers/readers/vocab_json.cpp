// vocab.json and merges.txt: tokens with their ids, and the pairs that BPE joins, one a line; and the classes that read
// them.

#include <optional>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/bpe_decoder.h"
#include "mica/tokenizers/byte_level.h"
#include "mica/tokenizers/models/bpe.h"
#include "mica/tokenizers/readers/classes.h"
#include "mica/tokenizers/readers/merges_txt.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

// What a class makes of the two files.
enum class Kind {
  gpt2,      // a bos where add_bos_token says so
  codegen,   // a byte-level post-processor, which changes nothing
  roberta,   // <s> A </s></s> B </s>
  luke,      // the same, and tokens for entities
  nougat,    // NFKC, digits and punctuation alone
  deberta,   // [CLS] A [SEP][SEP] B [SEP]
  gpt_neox,  // NFC
  qwen2,     // NFC, and a split of its own
  whisper,   // the tokens of language and task around the text
  openai,    // BERT's normalizer and words, </w> after each
  herbert,   // the same with accents and case as they are, [CLS] A [SEP] B [SEP]
  clip,      // lower case, </w>, a split of its own
};

struct Description {
  const char* name;
  Kind kind;
  DefaultTokens tokens;
  bool add_prefix_space = false;
  bool lstrip_mask = false;
};

constexpr const char* kQwen2Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// What Nougat splits at, as a text: the reference never meant it so.
constexpr const char* kNougatSplit = R"([\(\)\[\]\{\}]|([!\"#\$%\&'\*\+,\-\./:;<=>\?\\\^_`\|\~])\1*)";
constexpr const char* kClipSplit =
    R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

// Of LUKE's entities; the reference finds them in texts as well.
constexpr std::pair<const char*, const char*> kEntityTokens[] = {{"entity_unk_token", "[UNK]"},
                                                                 {"entity_pad_token", "[PAD]"},
                                                                 {"entity_mask_token", "[MASK]"},
                                                                 {"entity_mask2_token", "[MASK2]"}};

Json split_json(const char* pattern, const char* behavior, bool invert) {
  return {{"type", "Split"}, {"pattern", Json{{"Regex", pattern}}}, {"behavior", behavior}, {"invert", invert}};
}

Json byte_level_json(bool add_prefix_space, bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json sequence_json(const char* key, Json parts) {
  return {{"type", "Sequence"}, {key, std::move(parts)}};
}

// A template of texts and special tokens, in which "$A" and "$B" are the texts; all of type 0 but what `pair_type`
// says.
Json template_json(const std::vector<std::string>& single, const std::vector<std::string>& pair, int32_t pair_type,
                   const Engine& engine, const std::string& path) {
  Json special = Json::object();
  const auto pieces = [&](const std::vector<std::string>& names) {
    Json list = Json::array();
    int32_t type = 0;
    for (const std::string& name : names) {
      if (name == "$A" || name == "$B") {
        type = name == "$B" ? pair_type : 0;
        list.push_back(Json{{"Sequence", Json{{"id", name.substr(1)}, {"type_id", type}}}});
        continue;
      }
      const auto id = engine.find(name);
      if (!id) {
        throw Error("special token \"" + printable(name, 60) + "\" is not in the vocabulary", printable(path, 400),
                    "add it, or name another in tokenizer_config.json");
      }
      special[name] = Json{{"id", name}, {"ids", Json::array({*id})}, {"tokens", Json::array({name})}};
      list.push_back(Json{{"SpecialToken", Json{{"id", name}, {"type_id", type}}}});
    }
    return list;
  };
  Json json = Json::object();
  json["type"] = "TemplateProcessing";
  json["single"] = pieces(single);
  json["pair"] = pieces(pair);
  json["special_tokens"] = std::move(special);
  return json;
}

class VocabJsonClass : public TokenizerClass {
 public:
  explicit VocabJsonClass(const Description& description)
      : TokenizerClass(description.name, description.tokens), description_(description) {
    lstrip_mask = description.lstrip_mask;
    type_ids = description.kind == Kind::deberta;
  }
  std::vector<std::string> files() const override { return {"vocab.json merges.txt"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const std::string path = join_path(folder, "vocab.json");
    const std::string merges_path = join_path(folder, "merges.txt");
    auto engine = std::make_shared<Engine>();
    auto vocabulary = read_vocab_json(path);
    const Kind kind = description_.kind;
    const bool marks_ends = kind == Kind::openai || kind == Kind::herbert || kind == Kind::clip;
    Bpe::Settings bpe;
    bpe.continuing_subword_prefix = "";
    bpe.end_of_word_suffix = marks_ends ? "</w>" : "";
    if (marks_ends) bpe.unk_token = settings.special.unk_token;
    engine->model =
        std::make_shared<Bpe>(std::move(vocabulary), read_merges_txt(merges_path), std::move(bpe), merges_path);
    // The template may name tokens that only these files add.
    const std::string config = join_path(folder, "tokenizer_config.json");
    add_from_legacy_file(join_path(folder, "added_tokens.json"), settings.special, *engine);
    add_from_decoder(settings.config, config, *engine);
    Fields fields(settings.config, config, "tokenizer_config");
    if (kind == Kind::luke) {
      add_entity_tokens(fields, settings.special);
      for (const auto& [key, fallback] : kEntityTokens) {
        settings.special.additional_special_tokens.push_back(fields.string(key, fallback));
      }
    }
    add_special_tokens(*engine, settings.special, lstrip_mask);
    set_text_components(fields, *engine);
    set_post_processor(fields, settings.special, *engine, path);
    return engine;
  }

  // What tokenizer_config.json says of spaces and offsets counts for more than the components.
  void adjust(Engine& engine, const TokenizerSettings& settings, const std::string& file) const override {
    Fields fields(settings.config, file, "tokenizer_config");
    const auto space = fields.optional_boolean("add_prefix_space");
    const auto trims = fields.optional_boolean("trim_offsets");
    if (space && engine.pre_tokenizer) {
      Json json = engine.pre_tokenizer->to_json();
      if (json["type"] == "ByteLevel" && json["add_prefix_space"] != *space) {
        json["add_prefix_space"] = *space;
        engine.pre_tokenizer = make_pre_tokenizer(Fields(json, file, "pre_tokenizer"));
      }
    }
    if (description_.kind != Kind::roberta || !(space || trims)) return;
    Json json = engine.post_processor.to_json();
    if (!json.is_object() || json["type"] != "RobertaProcessing") return;
    if (space) json["add_prefix_space"] = *space;
    if (trims) json["trim_offsets"] = *trims;
    engine.post_processor = PostProcessor(Fields(json, file, "post_processor"));
  }

 private:
  void set_text_components(Fields& fields, Engine& engine) const {
    const bool space = fields.boolean("add_prefix_space", description_.add_prefix_space);
    const Json nfc = {{"type", "NFC"}};
    Json normalizer = nullptr;
    Json pre_tokenizer = byte_level_json(space, true);
    engine.decoder = make_byte_level_decoder();
    switch (description_.kind) {
      case Kind::gpt_neox:
        normalizer = nfc;
        break;
      case Kind::qwen2:
        normalizer = nfc;
        pre_tokenizer = sequence_json(
            "pretokenizers", Json::array({split_json(kQwen2Split, "Isolated", false), byte_level_json(space, false)}));
        break;
      case Kind::nougat: {
        const auto split_at = [](const char* text, const char* behavior) -> Json {
          return {{"type", "Split"}, {"pattern", Json{{"String", text}}}, {"behavior", behavior}, {"invert", false}};
        };
        normalizer = {{"type", "NFKC"}};
        pre_tokenizer = sequence_json(
            "pretokenizers",
            Json::array({split_at("SPL1T-TH1S-Pl3A5E", "Removed"),
                         Json{{"type", "Digits"}, {"individual_digits", true}}, split_at(kNougatSplit, "Isolated"),
                         split_at("\n", "Isolated"), byte_level_json(false, true)}));
        break;
      }
      case Kind::openai:
      case Kind::herbert:
        engine.normalizer = std::make_shared<BertNormalizer>(
            description_.kind == Kind::openai ? BertNormalizer::Settings{}
                                              : BertNormalizer::Settings{.strip_accents = false, .lowercase = false});
        engine.pre_tokenizer = std::make_shared<BertPreTokenizer>();
        engine.decoder = make_bpe_decoder("</w>");
        return;
      case Kind::clip: {
        const Json spaces = {{"type", "Replace"}, {"pattern", Json{{"Regex", "\\s+"}}}, {"content", " "}};
        const Json lower = {{"type", "Lowercase"}};
        normalizer = sequence_json("normalizers", Json::array({nfc, spaces, lower}));
        pre_tokenizer = sequence_json(
            "pretokenizers", Json::array({split_json(kClipSplit, "Removed", true), byte_level_json(false, true)}));
        break;
      }
      default:
        break;
    }
    if (!normalizer.is_null()) engine.normalizer = make_normalizer(Fields(normalizer, fields.file(), "normalizer"));
    engine.pre_tokenizer = make_pre_tokenizer(Fields(pre_tokenizer, fields.file(), "pre_tokenizer"));
  }

  void set_post_processor(Fields& fields, const SpecialTokens& special, Engine& engine, const std::string& path) const {
    const auto id = [&](const std::string& token) -> Json {
      const auto found = engine.find(token);
      if (!found) {
        throw Error("special token \"" + printable(token, 60) + "\" is not in the vocabulary", printable(path, 400),
                    "add it, or name another in tokenizer_config.json");
      }
      return Json::array({token, *found});
    };
    const auto cls = special.cls_token.value_or(""), sep = special.sep_token.value_or("");
    const auto bos = special.bos_token.value_or(""), eos = special.eos_token.value_or("");
    Json json = nullptr;
    switch (description_.kind) {
      case Kind::nougat: {
        json = template_json({bos, "$A", eos}, {"$A", "$B"}, 1, engine, path);
        break;
      }
      case Kind::luke:
      case Kind::roberta:
        json = {{"type", "RobertaProcessing"},
                {"sep", id(sep)},
                {"cls", id(cls)},
                {"trim_offsets", fields.boolean("trim_offsets", true)},
                {"add_prefix_space",
                 description_.kind == Kind::luke || fields.boolean("add_prefix_space", description_.add_prefix_space)}};
        break;
      case Kind::herbert:  // the ids are the class's, whatever the vocabulary says
        json = {{"type", "BertProcessing"}, {"sep", Json::array({sep, 2})}, {"cls", Json::array({cls, 0})}};
        break;
      case Kind::clip:
        json = {{"type", "RobertaProcessing"},
                {"sep", id(eos)},
                {"cls", id(bos)},
                {"trim_offsets", false},
                {"add_prefix_space", false}};
        break;
      case Kind::deberta:
        json = template_json({cls, "$A", sep}, {cls, "$A", sep, sep, "$B", sep}, 0, engine, path);
        break;
      case Kind::codegen:
        json = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
        break;
      case Kind::whisper:
        json = whisper_json(fields, bos, eos, engine, path);
        break;
      case Kind::gpt2:
      case Kind::gpt_neox:
      case Kind::qwen2: {
        std::vector<std::string> single = {"$A"}, second = {"$B"};
        if (fields.boolean("add_bos_token", false)) {
          single.insert(single.begin(), bos);
          second.insert(second.begin(), bos);
        }
        if (fields.boolean("add_eos_token", false)) {
          single.push_back(eos);
          second.push_back(eos);
        }
        std::vector<std::string> pair = single;
        pair.insert(pair.end(), second.begin(), second.end());
        json = template_json(single, pair, 1, engine, path);
        break;
      }
      case Kind::openai:
        break;
    }
    if (!json.is_null()) engine.post_processor = PostProcessor(Fields(json, path, "post_processor"));
  }

  // <|startoftranscript|>, a language and a task where they are named, <|notimestamps|>; <|endoftext|> at the end.
  static Json whisper_json(Fields& fields, const std::string& bos, const std::string& eos, const Engine& engine,
                           const std::string& path) {
    if (fields.has("language") || fields.has("task")) {
      fields.fail("tokenizer_config.json sets a language or a task for Whisper's older files",
                  "save the tokenizer with a tokenizer.json, which holds its prompt");
    }
    const auto known = [&](const char* token) { return engine.find(token) ? std::string(token) : bos; };
    std::vector<std::string> prompt = {known("<|startoftranscript|>")};
    if (!fields.boolean("predict_timestamps", false)) prompt.push_back(known("<|notimestamps|>"));
    std::vector<std::string> single = prompt;
    single.push_back("$A");
    std::vector<std::string> pair = single;
    single.push_back(eos);
    pair.push_back("$B");
    pair.push_back(eos);
    return template_json(single, pair, 1, engine, path);
  }

  Description description_;
};

constexpr DefaultTokens kGpt2Tokens = {.bos = "<|endoftext|>", .eos = "<|endoftext|>", .unk = "<|endoftext|>"};
constexpr DefaultTokens kRobertaTokens = {
    .bos = "<s>", .eos = "</s>", .unk = "<unk>", .sep = "</s>", .pad = "<pad>", .cls = "<s>", .mask = "<mask>"};

constexpr Description kClasses[] = {
    {"GPT2Tokenizer", Kind::gpt2, kGpt2Tokens},
    {"CodeGenTokenizer", Kind::codegen, kGpt2Tokens},
    {"WhisperTokenizer", Kind::whisper, kGpt2Tokens},
    {"RobertaTokenizer", Kind::roberta, kRobertaTokens},
    {"BartTokenizer", Kind::roberta, kRobertaTokens},
    {"LongformerTokenizer", Kind::roberta, kRobertaTokens},
    {"LEDTokenizer", Kind::roberta, kRobertaTokens},
    {"MvpTokenizer", Kind::roberta, kRobertaTokens},
    {"LukeTokenizer", Kind::luke, kRobertaTokens},
    {"NougatTokenizer", Kind::nougat, {.bos = "<s>", .eos = "</s>", .unk = "<unk>", .pad = "<pad>"}},
    {"BlenderbotTokenizer", Kind::gpt2, kRobertaTokens, true, true},
    {"DebertaTokenizer",
     Kind::deberta,
     {.bos = "[CLS]",
      .eos = "[SEP]",
      .unk = "[UNK]",
      .sep = "[SEP]",
      .pad = "[PAD]",
      .cls = "[CLS]",
      .mask = "[MASK]"}},
    {"GPTNeoXTokenizer",
     Kind::gpt_neox,
     {.bos = "<|endoftext|>", .eos = "<|endoftext|>", .unk = "<|endoftext|>", .pad = "<|padding|>"}},
    {"Qwen2Tokenizer", Kind::qwen2, {.eos = "<|endoftext|>", .unk = "<|endoftext|>", .pad = "<|endoftext|>"}},
    {"HerbertTokenizer",
     Kind::herbert,
     {.unk = "<unk>", .sep = "</s>", .pad = "<pad>", .cls = "<s>", .mask = "<mask>"}},
    {"OpenAIGPTTokenizer", Kind::openai, {.unk = "<unk>"}},
    {"CLIPTokenizer",
     Kind::clip,
     {.bos = "<|startoftext|>", .eos = "<|endoftext|>", .unk = "<|endoftext|>", .pad = "<|endoftext|>"}},
};

}  // namespace

TokenizerClasses byte_pair_classes() {
  static const std::vector<VocabJsonClass> classes(std::begin(kClasses), std::end(kClasses));
  static const std::vector<const TokenizerClass*> all = [] {
    std::vector<const TokenizerClass*> pointers;
    for (const VocabJsonClass& one : classes) pointers.push_back(&one);
    return pointers;
  }();
  return all;
}

}  // namespace mica
