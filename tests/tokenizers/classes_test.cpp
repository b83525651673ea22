// Older tokenizer classes: every folder of data/classes opened and held against what the reference makes of it. With
// MICA_CLASS_CASES, a folder that tools/make_class_cases.py --random wrote, its cases as well.

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

using test::ScratchFolder;
using Ids = std::vector<int32_t>;

std::string cases_of(const std::string& name) {
  return test::data_folder("classes") + "/" + name + ".jsonl.gz";
}

void write_folder(const Json& files, const ScratchFolder& folder) {
  for (const auto& [name, content] : files.items()) {
    const std::string text = content.is_string() ? content.get<std::string>() : content.dump();
    const bool packed = content.is_string() && text.starts_with('@');
    folder.write(name, packed ? test::read_gz(test::data_folder("classes") + "/" + text.substr(1) + ".gz") : text);
  }
}

std::string check(const Tokenizer& tokenizer, const Json& c, const std::string& text) {
  if (c.contains("target_ids")) {
    return tokenizer.encode(text, {.text_target = true}) == c["target_ids"].get<Ids>() ? "" : "target_ids";
  }
  TokenizerOptions options;
  if (c.contains("types")) options.return_token_type_ids = true;
  const auto encoding =
      c.contains("pair") ? tokenizer(text, c["pair"].get<std::string>(), options) : tokenizer(text, options);
  const Ids ids(encoding.input_ids[0].begin(), encoding.input_ids[0].end());
  if (ids != c["ids"].get<Ids>()) return "ids: got " + Json(ids).dump();
  if (Json(encoding.special_tokens_mask()) != c["mask"])
    return "mask: got " + Json(encoding.special_tokens_mask()).dump();
  if (c.contains("offsets")) {
    Json offsets = Json::array();
    for (const CharSpan span : encoding.offsets()) offsets.push_back(Json::array({span.begin, span.end}));
    if (offsets != c["offsets"]) return "offsets: got " + offsets.dump();
  }
  if (c.contains("types")) {
    const Ids types(encoding.token_type_ids[0].begin(), encoding.token_type_ids[0].end());
    if (types != c["types"].get<Ids>()) return "types: got " + Json(types).dump();
  }
  if (c.contains("tokens") && Json(tokenizer.convert_ids_to_tokens(ids)) != c["tokens"]) return "tokens";
  const std::string decoded = tokenizer.decode(ids);
  if (decoded != c["decoded"]) return "decoded: got " + Json(decoded).dump();
  const std::string skipped = tokenizer.decode(ids, {.skip_special_tokens = true});
  if (skipped != c.value("skipped", c["decoded"])) return "skipped: got " + Json(skipped).dump();
  return "";
}

void check_all(const Tokenizer& tokenizer, const std::vector<Json>& cases, size_t first, const std::string& name) {
  const std::vector<Json> texts = test::json_lines("classes/texts.jsonl.gz");
  size_t wrong = 0;
  for (size_t i = first; i < cases.size(); ++i) {
    const Json& at = cases[i]["text"];
    const std::string text = at.is_number() ? texts.at(at.get<size_t>()).get<std::string>() : at.get<std::string>();
    const std::string problem = check(tokenizer, cases[i], text);
    if (problem.empty()) continue;
    if (++wrong <= 5) {
      ADD_FAILURE() << name << ": " << Json(text).dump() << "\n  " << cases[i].dump().substr(0, 600) << "\n  "
                    << problem;
    }
  }
  EXPECT_EQ(wrong, 0U) << name;
  std::printf("%s: %zu cases, %zu different\n", name.c_str(), cases.size() - first, wrong);
}

class OlderClass : public testing::TestWithParam<std::string> {};

TEST_P(OlderClass, GivesWhatTheReferenceGives) {
  const auto cases = test::lines_of_file(cases_of(GetParam()));
  const ScratchFolder folder;
  write_folder(cases[0]["files"], folder);
  const Tokenizer tokenizer = AutoTokenizer::from_pretrained(folder.path());
  check_all(tokenizer, cases, 1, GetParam());
  if (const char* more = std::getenv("MICA_CLASS_CASES")) {
    const std::string random = std::string(more) + "/" + GetParam() + ".random.jsonl";
    if (std::filesystem::exists(random)) check_all(tokenizer, test::lines_of_file(random), 0, GetParam() + ", random");
  }
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator(test::data_folder("classes"))) {
    const std::string file = entry.path().filename().string();
    if (file.ends_with(".jsonl.gz") && file != "texts.jsonl.gz") all.push_back(file.substr(0, file.size() - 9));
  }
  std::sort(all.begin(), all.end());
  return all;
}

INSTANTIATE_TEST_SUITE_P(Folders, OlderClass, testing::ValuesIn(names()),
                         [](const auto& param_info) { return param_info.param; });

// The folder of some cases, with another tokenizer_config.json.
Tokenizer open(const std::string& name, const Json& config, bool map = true) {
  Json files = test::lines_of_file(cases_of(name))[0]["files"];
  files["tokenizer_config.json"] = config;
  if (!map) files.erase("special_tokens_map.json");
  const ScratchFolder folder;
  write_folder(files, folder);
  return AutoTokenizer::from_pretrained(folder.path());
}

TEST(OlderClasses, LanguagesNeedNoListOfTokens) {
  // Where tokenizer_config.json lists no tokens, they have the ids of the published models all the same.
  const Tokenizer nllb = open("nllb", {{"tokenizer_class", "NllbTokenizerFast"}});
  const Tokenizer listed = open("nllb", test::lines_of_file(cases_of("nllb"))[0]["files"]["tokenizer_config.json"]);
  EXPECT_EQ(nllb.encode("a <mask> eng_Latn"), listed.encode("a <mask> eng_Latn"));
  EXPECT_EQ(nllb.token_to_id("ace_Arab"), 901);
  EXPECT_EQ(nllb.mask_token_id(), 901 + 202);
  const Tokenizer m2m100 = open("m2m100", {{"tokenizer_class", "M2M100Tokenizer"}}, false);
  EXPECT_EQ(m2m100.encode("").front(), m2m100.token_to_id("__en__"));
  EXPECT_EQ(m2m100.decode(m2m100.encode("Hello"), {.skip_special_tokens = true}), "Hello");
  const Tokenizer few = open("m2m100", {{"tokenizer_class", "M2M100Tokenizer"}, {"language_codes", "wmt21"}}, false);
  EXPECT_EQ(few.size(), m2m100.size() - 92);
}

TEST(OlderClasses, LanguagesChange) {
  Tokenizer tokenizer = open("m2m100", {{"tokenizer_class", "M2M100Tokenizer"}, {"src_lang", "de"}});
  const auto ids = [&](std::initializer_list<const char*> tokens) {
    Ids all;
    for (const char* token : tokens) all.push_back(*tokenizer.token_to_id(token));
    return all;
  };
  EXPECT_TRUE(tokenizer.marks_languages());
  const Tokenizer before = tokenizer;
  tokenizer.set_src_lang("fr");
  EXPECT_EQ(tokenizer.encode(""), ids({"__fr__", "</s>"}));
  EXPECT_EQ(before.encode(""), ids({"__de__", "</s>"}));
  EXPECT_EQ(tokenizer.encode("", {.text_target = true}), ids({"__fr__", "</s>"}));
  tokenizer.set_tgt_lang("zu");
  EXPECT_EQ(tokenizer.encode("", {.text_target = true}), ids({"__zu__", "</s>"}));
  EXPECT_THROW(tokenizer.set_src_lang("tlh"), Error);
  EXPECT_EQ(tokenizer.encode(""), ids({"__fr__", "</s>"}));
  Tokenizer none = open("pegasus", {{"tokenizer_class", "PegasusTokenizer"}});
  EXPECT_FALSE(none.marks_languages());
  EXPECT_THROW(none.set_src_lang("de"), Error);
  // A tokenizer.json says itself what goes around a text, but for a language that its folder names.
  Tokenizer german = open("mbart_german", {{"tokenizer_class", "MBartTokenizer"}, {"src_lang", "de_DE"}});
  const ScratchFolder saved;
  german.save_pretrained(saved.path());
  EXPECT_EQ(AutoTokenizer::from_pretrained(saved.path()).encode("a"), german.encode("a"));
  german.set_src_lang("ro_RO");
  saved.write("tokenizer_config.json", R"({"tokenizer_class":"MBartTokenizer","src_lang":"ro_RO"})");
  EXPECT_EQ(AutoTokenizer::from_pretrained(saved.path()).encode("a"), german.encode("a"));
}

TEST(OlderClasses, SayWhatIsWrong) {
  EXPECT_THROW(open("nllb", {{"tokenizer_class", "NllbTokenizer"}, {"src_lang", "tlh_Latn"}}), Error);
  EXPECT_THROW(open("nllb", {{"tokenizer_class", "NllbTokenizer"}, {"src_lang", 3}}), Error);
  EXPECT_THROW(open("nllb", {{"tokenizer_class", "PegasusTokenizer"}}), Error);       // a BPE model
  EXPECT_THROW(open("mbart_german", {{"tokenizer_class", "NllbTokenizer"}}), Error);  // a Unigram model
  EXPECT_THROW(open("plbart", {{"tokenizer_class", "PLBartTokenizer"}, {"language_codes", "all"}}), Error);
  EXPECT_THROW(open("pegasus", {{"tokenizer_class", "PegasusTokenizer"}, {"offset", -1}}), Error);
  EXPECT_THROW(open("nllb", {{"tokenizer_class", "M2M100Tokenizer"}}), Error);  // no vocab.json
  EXPECT_THROW(open("fsmt", {{"tokenizer_class", "FSMTTokenizer"}}), Error);    // no languages
  EXPECT_THROW(open("fsmt", {{"tokenizer_class", "FSMTTokenizer"}, {"langs", {"en"}}}), Error);
  EXPECT_THROW(open("fsmt", {{"tokenizer_class", "FSMTTokenizer"}, {"langs", {"zh", "en"}}}), Error);
  EXPECT_THROW(open("fsmt", {{"tokenizer_class", "FSMTTokenizer"}, {"langs", {"en", "ja"}}}), Error);
  EXPECT_THROW(open("xlm", {{"tokenizer_class", "XLMTokenizer"}, {"unk_token", "[UNK]"}}), Error);
  EXPECT_THROW(open("luke", {{"tokenizer_class", "LukeTokenizer"}, {"task", "entity_classification"}}), Error);
  EXPECT_THROW(open("mluke", {{"tokenizer_class", "MLukeTokenizer"}, {"task", "entity_classification"}}), Error);
  EXPECT_THROW(open("prophetnet", {{"tokenizer_class", "ProphetNetTokenizer"}, {"never_split", {"a"}}}), Error);
  EXPECT_THROW(open("xglm", {{"tokenizer_class", "SeamlessM4TTokenizer"}}), Error);      // a Unigram model
  EXPECT_THROW(open("seamless", {{"tokenizer_class", "SeamlessM4TTokenizer"}}), Error);  // no token for a language
  EXPECT_THROW(open("xglm", {{"tokenizer_class", "LayoutXLMTokenizer"}}), Error);        // needs boxes
  EXPECT_THROW(open("ctrl", {{"tokenizer_class", "CTRLTokenizer"}, {"unk_token", "[UNK]"}}), Error);
  EXPECT_THROW(open("esm", {{"tokenizer_class", "EsmTokenizer"}, {"unk_token", "[UNK]"}}), Error);
}

TEST(OlderClasses, BrokenFiles) {
  const auto open_with = [](const char* file, const char* text) {
    Json files = test::lines_of_file(cases_of("phobert"))[0]["files"];
    files[file] = text;
    const ScratchFolder folder;
    write_folder(files, folder);
    return AutoTokenizer::from_pretrained(folder.path());
  };
  EXPECT_EQ(open_with("vocab.txt", "ab 3\nc@@ 2").encode("ab"), (Ids{0, 4, 2}));
  EXPECT_THROW(open_with("vocab.txt", "ab\n"), Error);
  EXPECT_THROW(open_with("vocab.txt", "ab 3\nab 2\n"), Error);
  EXPECT_THROW(open_with("vocab.txt", "\xff 3\n"), Error);
  EXPECT_THROW(open_with("bpe.codes", "a 3\n"), Error);
  EXPECT_THROW(open_with("bpe.codes", "a b c 3\n"), Error);
  EXPECT_THROW(open_with("bpe.codes", "\n"), Error);
}

TEST(OlderClasses, BrokenMergesAndPieces) {
  const auto open_with = [](const char* cases, const char* file, const char* text) {
    Json files = test::lines_of_file(cases_of(cases))[0]["files"];
    files[file] = text;
    const ScratchFolder folder;
    write_folder(files, folder);
    return AutoTokenizer::from_pretrained(folder.path());
  };
  const Tokenizer pairs = open_with("xlm", "merges.txt", "a b</w> 7 8\n\nx");  // what no line end closes is no merge
  EXPECT_EQ(pairs.encode("ab", {.add_special_tokens = false}).size(), 1U);
  EXPECT_THROW(open_with("xlm", "merges.txt", "a\n"), Error);
  EXPECT_THROW(open_with("xlm", "merges.txt", "\xff b\n"), Error);
  EXPECT_THROW(open_with("xlm", "vocab.json", "[]"), Error);
  EXPECT_THROW(open_with("fsmt", "vocab-tgt.json", "{\"<s>\": -1}"), Error);
  EXPECT_EQ(open_with("bartpho", "dict.txt", "a 3\nb").size(), 7);
  EXPECT_THROW(open_with("bartpho", "dict.txt", "a 3\n\nb 2\n"), Error);
  EXPECT_THROW(open_with("bartpho", "dict.txt", "a 3\na 2\n"), Error);
  EXPECT_THROW(open_with("prophetnet", "prophetnet.tokenizer", "[PAD]\n"), Error);
}

TEST(OlderClasses, SourceAndTargetOfFsmt) {
  const Tokenizer tokenizer =
      open("fsmt", {{"tokenizer_class", "FSMTTokenizer"}, {"langs", {"en", "ru"}}, {"do_lower_case", false}});
  const auto vocab = tokenizer.get_vocab();
  const auto id = static_cast<int32_t>(vocab.size() / 2);
  // The token that a text becomes, and the one that the id stands for.
  EXPECT_EQ(tokenizer.token_to_id(vocab[static_cast<size_t>(id)].first), id);
  EXPECT_NE(tokenizer.convert_ids_to_tokens(id), vocab[static_cast<size_t>(id)].first);
}

TEST(OlderClasses, PegasusByItsOffset) {
  EXPECT_EQ(open("pegasus", {{"tokenizer_class", "PegasusTokenizer"}}).unk_token_id(), 105);
  EXPECT_EQ(open("pegasus", {{"tokenizer_class", "PegasusTokenizer"}, {"offset", 0}, {"mask_token", "\u2581"}})
                .unk_token_id(),
            2);
}

}  // namespace
}  // namespace mica
