// Files that are cut, wrong or hostile: one clear error each, never a crash.

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/base/warnings.h"
#include "mica/tests/tokenizers/small_tokenizer.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

using test::with;

// What the error says, or "" when there was none.
std::string error_of(const std::string& json) {
  try {
    Tokenizer::from_json(json, "the-file");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void expect_error(const std::string& json, const std::string& part) {
  const std::string error = error_of(json);
  EXPECT_NE(error.find(part), std::string::npos) << "wanted \"" << part << "\" in: " << error;
  EXPECT_NE(error.find("the-file"), std::string::npos) << error;
}

TEST(BadTokenizerJson, UnknownComponentsAreNamed) {
  expect_error(with("/normalizer", {{"type", "Foo"}}), "unknown normalizer \"Foo\"");
  expect_error(with("/normalizer", Json::parse(R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Bar"}]})")),
               "unknown normalizer \"Bar\" at tokenizer.normalizer.normalizers[1]");
  expect_error(with("/pre_tokenizer/type", "Foo"), "unknown pre-tokenizer");
  expect_error(with("/post_processor", {{"type", "Foo"}}), "unknown post-processor");
  expect_error(with("/decoder/type", "Foo"), "unknown decoder");
  expect_error(with("/model/type", "Foo"), "unknown model \"Foo\"");
  expect_error(with("/version", "2.0"), "unknown version");
  expect_error(with("/extra", 1), "unknown key tokenizer.extra");
  expect_error(with("/model/extra", 1), "unknown key tokenizer.model.extra");
  expect_error(with("/normalizer/extra", 1), "unknown key tokenizer.normalizer.extra");
  expect_error(with("/normalizer", Json::parse(R"({"type":"Replace","pattern":{"Regex":"a("},"content":""})")),
               "regular");
}

TEST(BadTokenizerJson, WrongTypesAndRanges) {
  expect_error(with("/normalizer/lowercase", 1), "normalizer.lowercase is not true or false");
  expect_error(with("/normalizer", 3), "not a JSON object");
  expect_error(with("/model/max_input_chars_per_word", -1), "max_input_chars_per_word");
  expect_error(with("/model/max_input_chars_per_word", 1e30), "max_input_chars_per_word");
  expect_error(with("/model/unk_token", 5), "unk_token is not a string");
  expect_error(with("/model/vocab", Json::array()), "vocab");
  expect_error(with("/model", nullptr), "missing key tokenizer.model");
  expect_error(with("/model/vocab/a", -1), "id out of range");
  expect_error(with("/model/vocab/a", uint64_t{1} << 63), "id out of range");
  expect_error(with("/model/vocab/a", 1.5), "model.vocab");
  expect_error(with("/model/vocab/a", "x"), "model.vocab");
  expect_error(with("/model/vocab/a", Json::object()), "model.vocab");
  expect_error(with("/model/vocab/a", Json::array()), "model.vocab");
  expect_error(with("/model/vocab/a", 11), "two tokens have id 11");
  expect_error(with("/model/vocab/a", 99999999), "too sparse");
  expect_error(with("/added_tokens/0/id", -5), "added_tokens[0].id");
  expect_error(with("/added_tokens/0/content", 5), "added_tokens[0].content");
  expect_error(with("/added_tokens/0", 5), "not a JSON object");
  expect_error(with("/added_tokens/1", test::small_tokenizer()["added_tokens"][0]), "added token occurs twice");
  expect_error(with("/truncation", Json::parse(R"({"max_length":-1,"strategy":"LongestFirst","stride":0})")),
               "max_length");
  expect_error(with("/truncation", Json::parse(R"({"max_length":1,"strategy":"Foo","stride":0})")),
               "strategy is \"Foo\"");
  expect_error(with("/padding", Json::parse(R"({"strategy":{"Fixed":-1}})")), "Fixed");
  expect_error(with("/decoder", Json::parse(R"({"type":"Strip","content":"ab","start":0,"stop":0})")), "one character");
}

TEST(BadTokenizerJson, Templates) {
  expect_error(with("/post_processor/special_tokens/[CLS]/ids", Json::array({1, 2})), "one length");
  expect_error(with("/post_processor/special_tokens/[CLS]/ids", Json::array({-1})), "not an id");
  expect_error(with("/post_processor/special_tokens", Json::object()), "which special_tokens lacks");
  expect_error(with("/post_processor/single", Json::array()), "leaves a text out");
  expect_error(with("/post_processor/single/1/Sequence/id", "B"), "no pair");
  expect_error(with("/post_processor/pair/1/Sequence/id", "C"), "Sequence.id is \"C\"");
  const Json two =
      Json::parse(R"({"type":"Sequence","processors":[{"type":"BertProcessing","sep":["a",1],"cls":["b",2]},
                                    {"type":"BertProcessing","sep":["a",1],"cls":["b",2]}]})");
  expect_error(with("/post_processor", two), "two templates");
}

TEST(BadTokenizerJson, TextThatIsNoJson) {
  for (const char* text :
       {"", "{", "[", "null", "3", "\"a\"", "{\"model\":", "{\"model\":{\"vocab\":{\"a\":", "{'a':1}"}) {
    EXPECT_THROW(Tokenizer::from_json(text), Error) << text;
  }
  expect_error(R"({"model":{"vocab":{"a":0,"a":1}}})", "token occurs twice");
  expect_error(R"({"model":{"vocab":{"a":0},"vocab":{"b":0}}})", "occurs twice");
  expect_error(R"({"model":{},"model":{}})", "occurs twice");
  expect_error("{\"a\":" + std::string(100000, '['), "nested deeper");
  std::string deep = R"({"type":"NFC"})";
  for (int i = 0; i < 100; ++i) deep = R"({"type":"Sequence","normalizers":[)" + deep + "]}";
  expect_error("{\"normalizer\":" + deep + "}", "nested deeper");
  const std::string whole = test::small_tokenizer().dump();
  for (size_t n = 0; n < whole.size(); n += 7) EXPECT_THROW(Tokenizer::from_json(whole.substr(0, n)), Error) << n;
}

TEST(BadTokenizerJson, AddedTokenIdsFollowTheVocabulary) {
  Json json = test::small_tokenizer();
  json["added_tokens"].push_back(json["added_tokens"][0]);
  json["added_tokens"][5]["content"] = "<new>";
  json["added_tokens"][5]["id"] = 4000;
  const WarningCatcher catcher;
  EXPECT_EQ(Tokenizer::from_json(json.dump()).token_to_id("<new>"), 15);
  EXPECT_EQ(catcher.messages().size(), 1u);
}

TEST(BadTokenizerJson, MissingUnknownTokenIsAnErrorOfTheCall) {
  const auto tokenizer = Tokenizer::from_json(with("/model/unk_token", "<nothing>"));
  EXPECT_NO_THROW(tokenizer("hello"));
  EXPECT_THROW(tokenizer("zzz"), Error);
  EXPECT_THROW(tokenizer("z\u00e9z"), Error);
}

void expect_folder_error(const std::vector<std::pair<std::string, std::string>>& files, const std::string& part) {
  const test::ScratchFolder folder;
  for (const auto& [name, content] : files) folder.write(name, content);
  try {
    AutoTokenizer::from_pretrained(folder.path());
    ADD_FAILURE() << "no error; wanted " << part;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(BadFolder, EachFileIsNamed) {
  const std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n";
  expect_folder_error({}, "neither tokenizer.json nor vocab.txt");
  expect_folder_error({{"vocab.txt", "a\n"}}, "unk_token \"[UNK]\" is not in the vocabulary");
  expect_folder_error({{"vocab.txt", vocab + "a\n"}}, "token occurs twice: \"a\"");
  expect_folder_error({{"vocab.txt", vocab + "\xff\n"}}, "not UTF-8");
  expect_folder_error({{"vocab.txt", vocab}, {"tokenizer_config.json", "[]"}}, "not a JSON object");
  expect_folder_error({{"vocab.txt", vocab}, {"tokenizer_config.json", R"({"do_lower_case": 1})"}}, "do_lower_case");
  expect_folder_error({{"vocab.txt", vocab}, {"tokenizer_config.json", R"({"padding_side": "up"})"}}, "padding_side");
  expect_folder_error({{"vocab.txt", vocab}, {"tokenizer_config.json", R"({"model_max_length": "x"})"}},
                      "model_max_length");
  expect_folder_error({{"vocab.txt", vocab}, {"tokenizer_config.json", R"({"model_max_length": -3})"}},
                      "model_max_length");
  expect_folder_error({{"vocab.txt", vocab}, {"tokenizer_config.json", R"({"cls_token": 4})"}}, "cls_token");
  expect_folder_error({{"vocab.txt", vocab}, {"tokenizer_config.json", R"({"tokenizer_class": "T5Tokenizer"})"}},
                      "T5Tokenizer");
  expect_folder_error(
      {{"vocab.txt", vocab}, {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "a"}}})"}},
      "added_tokens_decoder.x");
  expect_folder_error({{"vocab.txt", vocab}, {"added_tokens.json", R"({"<a>": -1})"}}, "added_tokens.json");
  expect_folder_error({{"vocab.txt", vocab}, {"added_tokens.json", R"({"<a>": 7, "<b>": 7})"}}, "two tokens have id 7");
  expect_folder_error({{"tokenizer.json", "{"}}, "tokenizer.json");
}

}  // namespace
}  // namespace mica
