// Tokenizers without a vocabulary file: bytes (ByT5, Perceiver) and code points (CANINE), spelled out as components.

#include <utility>

#include "mica/tokenizers/byte_level.h"
#include "mica/tokenizers/models/word_level.h"
#include "mica/tokenizers/readers/classes.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using Special = std::vector<std::pair<std::string, int32_t>>;

Json special_piece(const std::string& token) {
  return {{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
}
Json text_piece(const char* name) {
  return {{"Sequence", {{"id", name}, {"type_id", 0}}}};
}

// [first] A last (B last), all of type 0.
PostProcessor make_template(const std::optional<std::pair<std::string, int32_t>>& first,
                            const std::pair<std::string, int32_t>& last, const std::string& file) {
  Json table = Json::object();
  const auto enter = [&](const std::pair<std::string, int32_t>& token) {
    table[token.first] = {
        {"id", token.first}, {"ids", Json::array({token.second})}, {"tokens", Json::array({token.first})}};
  };
  Json single = Json::array();
  if (first) {
    enter(*first);
    single.push_back(special_piece(first->first));
  }
  enter(last);
  single.push_back(text_piece("A"));
  single.push_back(special_piece(last.first));
  Json pair = single;
  pair.push_back(text_piece("B"));
  pair.push_back(special_piece(last.first));
  Json json = {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", table}};
  return PostProcessor(Fields(json, file, "post_processor"));
}

void add_special(Engine& engine, const Special& tokens, bool strips) {
  std::vector<AddedToken> added;
  for (const auto& [content, id] : tokens) {
    AddedToken token;
    token.content = content;
    token.lstrip = strips;
    token.rstrip = strips;
    token.normalized = false;
    token.special = true;
    added.push_back(std::move(token));
  }
  engine.added.add(added, engine.model->vocabulary());
}

// The text's UTF-8 bytes, each a token; special tokens come before them.
class ByteClass : public TokenizerClass {
 public:
  ByteClass(const char* class_name, DefaultTokens defaults, bool is_byt5)
      : TokenizerClass(class_name, defaults), is_byt5_(is_byt5) {}
  std::vector<std::string> files() const override { return {"tokenizer_config.json"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    const std::string& file = folder;
    const SpecialTokens& names = settings.special;
    Special special;
    const auto take = [&](const std::optional<std::string>& token) {
      special.emplace_back(token.value_or(""), static_cast<int32_t>(special.size()));
    };
    if (is_byt5_) {
      for (const auto& token : {names.pad_token, names.eos_token, names.unk_token}) take(token);
    } else {
      for (const auto& token :
           {names.pad_token, names.bos_token, names.eos_token, names.mask_token, names.cls_token, names.sep_token}) {
        take(token);
      }
    }
    // As a BPE without merges: every byte's spelling stays a token of its own.
    Json vocabulary = Json::object();
    for (const auto& [token, id] : special) vocabulary[token] = id;
    for (int byte = 0; byte < 256; ++byte) {
      std::string spelled;
      byte_level::spell(std::string(1, static_cast<char>(byte)), spelled);
      vocabulary[spelled] = byte + static_cast<int>(special.size());
    }
    const Json byte_level = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", false}};
    Json decoder = byte_level;
    if (is_byt5_) {  // bytes that are no UTF-8 are left out
      decoder = {
          {"type", "Sequence"},
          {"decoders",
           Json::array(
               {byte_level, Json{{"type", "Replace"}, {"pattern", {{"String", "\xef\xbf\xbd"}}}, {"content", ""}}})}};
    }
    const Json json = {{"pre_tokenizer", byte_level},
                       {"decoder", decoder},
                       {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
    auto engine = read_tokenizer_json(json.dump(), file);
    add_special(*engine, special, is_byt5_);
    if (is_byt5_) {
      engine->post_processor = make_template(std::nullopt, special[1], file);
      add_extra_ids(settings, *engine, file);
    } else {
      engine->post_processor = make_template(special[4], special[5], file);
    }
    return engine;
  }

 private:
  // <extra_id_0> ... mark what a model is to fill in.
  static void add_extra_ids(TokenizerSettings& settings, Engine& engine, const std::string& file) {
    Fields fields(settings.config, file, "tokenizer_config");
    const int64_t count = fields.integer("extra_ids", 0, 10'000, 125);
    auto& more = settings.special.additional_special_tokens;
    if (more.empty()) {
      for (int64_t i = 0; i < count; ++i) more.push_back("<extra_id_" + std::to_string(i) + ">");
    }
    Special extra;
    for (const std::string& token : more) extra.emplace_back(token, 0);
    add_special(engine, extra, false);
  }

  bool is_byt5_;
};

// Every code point is its own id.
class CanineClass : public TokenizerClass {
 public:
  using TokenizerClass::TokenizerClass;
  std::vector<std::string> files() const override { return {"tokenizer_config.json"}; }

  std::shared_ptr<Engine> read(const std::string& folder, TokenizerSettings& settings) const override {
    // U+0000, which no C string of defaults holds.
    if (!settings.special.pad_token) settings.special.pad_token = std::string(1, '\0');
    auto engine = std::make_shared<Engine>();
    engine->model = std::make_shared<WordLevel>(code_points(), "");
    const Json one = {{"type", "FixedLength"}, {"length", 1}};
    engine->pre_tokenizer = make_pre_tokenizer(Fields(one, folder, "pre_tokenizer"));
    const Json fuse = {{"type", "Fuse"}};
    engine->decoder = make_decoder(Fields(fuse, folder, "decoder"));
    Special special;
    for (const NamedToken& named : named_special_tokens()) {
      const auto& token = settings.special.*named.value;
      const auto id = token ? engine->model->vocabulary().find(*token) : std::nullopt;
      if (id) special.emplace_back(*token, *id);
    }
    add_special(*engine, special, false);
    const auto with_id = [&](const std::optional<std::string>& token) {
      return std::pair(token.value_or(""), engine->find(token.value_or("")).value_or(0));
    };
    engine->post_processor =
        make_template(with_id(settings.special.cls_token), with_id(settings.special.sep_token), folder);
    return engine;
  }

 private:
  static std::shared_ptr<const Vocabulary> code_points() {
    static const std::shared_ptr<const Vocabulary> all = [] {
      auto vocabulary = std::make_shared<Vocabulary>();
      std::string text;
      for (char32_t c = 0; c < 0x110000; ++c) {
        if (c >= 0xd800 && c < 0xe000) continue;  // no characters
        text.clear();
        utf8::append(c, text);
        vocabulary->add(text, static_cast<int64_t>(c), "code points");
      }
      vocabulary->finish("code points");
      return vocabulary;
    }();
    return all;
  }
};

}  // namespace

TokenizerClasses byte_classes() {
  static const ByteClass byt5("ByT5Tokenizer", {.eos = "</s>", .unk = "<unk>", .pad = "<pad>"}, true);
  static const ByteClass perceiver(
      "PerceiverTokenizer",
      {.bos = "[BOS]", .eos = "[EOS]", .sep = "[SEP]", .pad = "[PAD]", .cls = "[CLS]", .mask = "[MASK]"}, false);
  // Private-use characters.
  static const CanineClass canine = [] {
    CanineClass made("CanineTokenizer", {.bos = "\xee\x80\x80",
                                         .eos = "\xee\x80\x81",
                                         .sep = "\xee\x80\x81",
                                         .cls = "\xee\x80\x80",
                                         .mask = "\xee\x80\x83"});
    made.type_ids = true;
    return made;
  }();
  static const TokenizerClass* const all[] = {&byt5, &perceiver, &canine};
  return all;
}

}  // namespace mica
