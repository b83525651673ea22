// Byte-level tokenizers whole: every expected case, from tokenizer.json and from older files, and the fused path
// against the components on random text. The vocabularies are cut down to what the expected texts need.

#include "mica/tokenizers/byte_level.h"

#include <random>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/tokenizers/expected_cases.h"
#include "mica/tokenizers/readers/merges_txt.h"
#include "mica/tokenizers/readers/tokenizer_json.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

using test::check_all;
using test::ScratchFolder;

std::string test_name(const testing::TestParamInfo<const char*>& param_info) {
  std::string name = param_info.param;
  for (char& c : name) c = c == '-' || c == '.' ? '_' : c;
  return name;
}

class ByteLevelExpected : public testing::TestWithParam<const char*> {};

TEST_P(ByteLevelExpected, FromItsFolder) {
  const ScratchFolder folder;
  test::unpack(GetParam(), folder, {"tokenizer.json", "tokenizer_config.json"});
  check_all(AutoTokenizer::from_pretrained(folder.path()), GetParam(), "its folder");
}

TEST_P(ByteLevelExpected, AfterSavingAndReloading) {
  const ScratchFolder folder, saved;
  test::unpack(GetParam(), folder, {"tokenizer.json", "tokenizer_config.json"});
  AutoTokenizer::from_pretrained(folder.path()).save_pretrained(saved.path());
  check_all(AutoTokenizer::from_pretrained(saved.path()), GetParam(), "saved tokenizer.json");
}

INSTANTIATE_TEST_SUITE_P(ByteLevel, ByteLevelExpected,
                         testing::Values("gpt2", "roberta-base", "phi-2", "whisper-large-v3", "clip-vit-base-patch32",
                                         "falcon-7b", "qwen2.5", "deepseek-v3"),
                         test_name);

// vocab.json and merges.txt, made of a tokenizer.json.
void write_older_files(const std::string& name, const ScratchFolder& folder) {
  const Json model = Json::parse(test::read_gz(test::data_folder(name) + "/tokenizer.json.gz"))["model"];
  folder.write("vocab.json", model["vocab"].dump());
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : model["merges"]) merges += merge.get<std::string>() + "\n";
  folder.write("merges.txt", merges);
}

class OlderFiles : public testing::TestWithParam<const char*> {};

TEST_P(OlderFiles, GiveTheExpectedCases) {
  const ScratchFolder folder;
  write_older_files(GetParam(), folder);
  test::unpack(GetParam(), folder, {"tokenizer_config.json"});
  check_all(AutoTokenizer::from_pretrained(folder.path()), GetParam(), "vocab.json and merges.txt");
}

INSTANTIATE_TEST_SUITE_P(ByteLevel, OlderFiles, testing::Values("gpt2", "roberta-base", "clip-vit-base-patch32"),
                         test_name);

TEST(OlderFilesOfBytePairs, ClassesDiffer) {
  const ScratchFolder folder;
  write_older_files("roberta-base", folder);
  const auto ids = [&](const Json& config, const char* text) {
    folder.write("tokenizer_config.json", config.dump());
    return AutoTokenizer::from_pretrained(folder.path())(text).input_ids.values().size();
  };
  EXPECT_EQ(ids({{"tokenizer_class", "BlenderbotTokenizer"}}, "a"), 1U);
  EXPECT_EQ(ids({{"tokenizer_class", "BartTokenizer"}}, "a"), 3U);
  EXPECT_EQ(ids({{"tokenizer_class", "GPT2Tokenizer"}}, "a"), 1U);
  EXPECT_EQ(ids({{"tokenizer_class", "GPT2Tokenizer"}, {"add_bos_token", true}, {"bos_token", "</s>"}}, "a"), 2U);
  EXPECT_EQ(ids({{"tokenizer_class", "DebertaTokenizerFast"}}, "a [MASK]"), 5U);  // [CLS], a, the space, [MASK], [SEP]
}

TEST(OlderFilesOfBytePairs, BadFilesAreNamed) {
  EXPECT_THROW(parse_vocab_json("[1]", "t"), Error);
  EXPECT_THROW(parse_vocab_json(R"({"a": "b"})", "t"), Error);
  EXPECT_THROW(parse_vocab_json(R"({"a": 0, "b": 0})", "t"), Error);
  EXPECT_THROW(parse_merges_txt("a b c", "t"), Error);
  EXPECT_THROW(parse_merges_txt("ab", "t"), Error);
  EXPECT_THROW(parse_merges_txt("a \xff", "t"), Error);
  EXPECT_EQ(parse_merges_txt("#version: 0.2\r\na b\r\n\n", "t").size(), 1U);
}

std::shared_ptr<Engine> engine_of(const std::string& json, bool components) {
  auto engine = read_tokenizer_json(json, "t");
  engine->prepare();
  if (components) engine->forbid_fast_path();
  return engine;
}

std::string random_text(std::mt19937& random, const Engine& engine) {
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  static constexpr int starts[] = {0x20,   0x20,   0x20,   0x0,    0xa0,    0x300,  0x3b1,  0x410,
                                   0x5d0,  0x627,  0x915,  0xe01,  0x1100,  0x2000, 0x3040, 0x4e00,
                                   0x4e00, 0xac00, 0xf900, 0xfff0, 0x1f300, 0x20000};
  std::string text;
  for (int n = pick(1, 8); n > 0; --n) {
    switch (pick(0, 5)) {
      case 0:
        text.append(static_cast<size_t>(pick(1, 40)), static_cast<char>(pick('a', 'c')));
        break;
      case 1:
        text.append(static_cast<size_t>(pick(1, 4)), " \n\t'"[pick(0, 3)]);
        break;
      case 2: {
        std::string bytes;
        byte_level::unspell(
            engine.model->vocabulary().token(pick(0, static_cast<int>(engine.model->vocabulary().id_bound()) - 1)),
            bytes);
        std::string mended;
        text += utf8::valid(bytes, mended);
        break;
      }
      default: {
        const int start = starts[pick(0, static_cast<int>(std::size(starts)) - 1)];
        for (int k = pick(1, 12); k > 0; --k) utf8::append(static_cast<char32_t>(start + pick(0, 90)), text);
        text += pick(0, 1) == 0 ? " " : "";
      }
    }
  }
  return text;
}

void compare(const std::string& json, int texts) {
  const auto fast = engine_of(json, false), components = engine_of(json, true);
  ASSERT_TRUE(fast->has_fast_path());
  std::mt19937 random(3);
  EncodeScratch scratch;
  for (int i = 0; i < texts; ++i) {
    const std::string text = random_text(random, *fast);
    TokenList b;
    int32_t word_b = 0;
    components->encode(text, false, i % 5 == 0, word_b, scratch, b);
    // The second time all its words are known.
    for (int time = 0; time < 2; ++time) {
      TokenList a;
      int32_t word_a = 0;
      fast->encode(text, false, i % 5 == 0, word_a, scratch, a);
      ASSERT_EQ(a.ids, b.ids) << text;
      ASSERT_EQ(a.offsets, b.offsets) << text;
      ASSERT_EQ(a.words, b.words) << text;
      ASSERT_EQ(word_a, word_b) << text;
    }
  }
}

class ByteLevelFastPath : public testing::TestWithParam<const char*> {};

TEST_P(ByteLevelFastPath, GivesWhatTheComponentsGive) {
  compare(test::read_gz(test::data_folder(GetParam()) + "/tokenizer.json.gz"), 4000);
}

INSTANTIATE_TEST_SUITE_P(ByteLevel, ByteLevelFastPath, testing::Values("gpt2", "phi-2", "qwen2.5", "deepseek-v3"),
                         test_name);

TEST(ByteLevelFastPath, SpaceBeforeTheTextAndWholeWords) {
  Json json = Json::parse(test::read_gz(test::data_folder("gpt2") + "/tokenizer.json.gz"));
  json["pre_tokenizer"]["add_prefix_space"] = true;
  json["model"]["ignore_merges"] = true;
  compare(json.dump(), 4000);
}

// Tokens that no merge makes stay whole as words, and only as words: parts of longer ones that are spelled alike do
// not. Where all of them are ASCII, words without spaces are cut all the same.
TEST(ByteLevelFastPath, TokensThatNoMergeMakes) {
  Json json = Json::parse(test::read_gz(test::data_folder("qwen2.5") + "/tokenizer.json.gz"));
  json["model"]["ignore_merges"] = true;
  Json& vocabulary = json["model"]["vocab"];
  int64_t next = 0;  // the first id that no token has
  for (const auto& [token, id] : vocabulary.items()) next = std::max(next, id.get<int64_t>() + 1);
  for (const Json& token : json["added_tokens"]) next = std::max(next, token["id"].get<int64_t>() + 1);
  const auto add = [&](const std::string& text) {
    std::string spelled;
    byte_level::spell(text, spelled);
    if (!vocabulary.contains(spelled)) vocabulary[spelled] = next++;
  };
  add("<|x|>");
  add("aaabbb");
  compare(json.dump(), 1500);
  for (char32_t c = 0x4e00; c < 0x4e60; ++c) {
    std::string two;
    utf8::append(c, two);
    utf8::append(c + 1, two);
    add(two);
  }
  compare(json.dump(), 1500);
}

TEST(ByteLevelFastPath, LinearOnHostileText) {
  const auto engine = engine_of(test::read_gz(test::data_folder("qwen2.5") + "/tokenizer.json.gz"), false);
  EncodeScratch scratch;
  for (const std::string unit :
       {"a", "é", "中", "a\u0301", " ", "!", "\u0301", "ab", "<|im_end|", "\xf0\x9f\x98\x80"}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    TokenList out;
    int32_t word = 0;
    engine->encode(text, false, false, word, scratch, out);
    EXPECT_LE(out.size(), text.size());
  }
}

TEST(ByteLevel, EveryByteHasItsOwnSpelling) {
  std::string all, spelled, back;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  byte_level::spell(all, spelled);
  EXPECT_EQ(utf8::count(spelled), 256U);
  EXPECT_TRUE(byte_level::unspell(spelled, back));
  EXPECT_EQ(back, all);
  EXPECT_FALSE(byte_level::unspell("a b", back));  // a space spells no byte
  EXPECT_EQ(back, all);
}

}  // namespace
}  // namespace mica
