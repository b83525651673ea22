// tiktoken's rank files and Mistral's tekken.json.

#include "mica/tokenizers/readers/byte_ranks.h"

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/readers/base64.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

using Ids = std::vector<int32_t>;

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t block = 0;
    for (size_t j = 0; j < 3; ++j) {
      block = block << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) text += i + j > bytes.size() ? '=' : digits[block >> (18 - 6 * j) & 63];
  }
  return text;
}

// The 256 bytes, then some pairs.
std::vector<std::string> tokens() {
  std::vector<std::string> all;
  for (int i = 0; i < 256; ++i) all.emplace_back(1, static_cast<char>(i));
  for (const char* token : {"he", "ll", "hell", "hello", " w", "12", "123", "\xe4\xb8", "\xe4\xb8\xad"})
    all.emplace_back(token);
  return all;
}

std::string rank_file() {
  std::string text;
  int rank = 0;
  for (const std::string& token : tokens()) text += base64(token) + " " + std::to_string(rank++) + "\n";
  return text;
}

Json tekken_json() {
  Json json = {{"config",
                {{"pattern", "\\p{L}+|\\p{N}{1,3}+| ?\\p{L}+|\\s+$|."},
                 {"num_vocab_tokens", 265},
                 {"default_vocab_size", 268},
                 {"default_num_special_tokens", 4},
                 {"version", "v3"}}},
               {"vocab", Json::array()},
               {"special_tokens", Json::array({{{"rank", 0}, {"token_str", "<unk>"}, {"is_control", true}},
                                               {{"rank", 1}, {"token_str", "<s>"}, {"is_control", true}},
                                               {{"rank", 2}, {"token_str", "</s>"}, {"is_control", true}}})}};
  int rank = 0;
  for (const std::string& token : tokens()) {
    json["vocab"].push_back({{"rank", rank++}, {"token_bytes", base64(token)}, {"token_str", nullptr}});
  }
  return json;
}

Ids ids(const Tokenizer& tokenizer, const std::string& text) {
  const auto all = tokenizer(text).input_ids.to_vectors();
  return all.empty() ? Ids() : all[0];
}

TEST(Base64, ReadsWhatItShouldAndNothingElse) {
  for (const char* bytes : {"", "a", "ab", "abc", "abcd", "\xff\x80\x01"})
    EXPECT_EQ(decode_base64(base64(bytes)), bytes);
  for (const char* text : {"a", "ab=", "ab==c", "a===", "====", "ab c", "YQ=a", "Y*=="})
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
}

TEST(Tiktoken, KnownByItsNameOrByTheFileBesideIt) {
  const test::ScratchFolder folder;
  folder.write("p50k_edit.tiktoken", rank_file());
  // Special tokens of p50k_edit have ids with holes.
  const auto known = Tokenizer::from_file(folder.file("p50k_edit.tiktoken"));
  EXPECT_EQ(ids(known, "hello w123<|fim_middle|>"), (Ids{259, 260, 262, 50282}));
  EXPECT_EQ(known.decode({259, 263, 0xad, 50282}), "hello中<|fim_middle|>");
  EXPECT_EQ(known.eos_token_id(), 50256);
  folder.write("mine.tiktoken", rank_file());
  EXPECT_THROW(Tokenizer::from_file(folder.file("mine.tiktoken")), Error);
  folder.write("encoding.json", R"({"pattern": "\\p{N}{2}+|.", "special_tokens": {"<end>": 265}})");
  const auto mine = Tokenizer::from_file(folder.file("mine.tiktoken"));
  EXPECT_EQ(ids(mine, "123<end>"), (Ids{261, '3', 265}));
  EXPECT_EQ(mine.vocab_size(), 265);
  EXPECT_EQ(mine.size(), 266);
  // Saved, it is a tokenizer.json that gives the same.
  const test::ScratchFolder saved;
  known.save_pretrained(saved.path());
  EXPECT_EQ(ids(AutoTokenizer::from_pretrained(saved.path()), "hello 123<|fim_middle|>"),
            ids(known, "hello 123<|fim_middle|>"));
}

TEST(Tiktoken, FoldersOfQwenAndOfAModelFileThatIsOne) {
  const test::ScratchFolder qwen, other;
  qwen.write("qwen.tiktoken", rank_file());
  qwen.write("tokenizer_config.json", R"({"tokenizer_class": "QWenTokenizer", "model_max_length": 8192})");
  const auto tokenizer = AutoTokenizer::from_pretrained(qwen.path());
  EXPECT_EQ(ids(tokenizer, "12<|im_start|>"), (Ids{'1', '2', 266}));  // each digit alone
  EXPECT_EQ(ids(tokenizer, "e\u0301"), (Ids{0xc3, 0xa9}));            // composed first
  EXPECT_EQ(tokenizer.model_max_length(), 8192);
  other.write("tokenizer.model", rank_file());
  other.write("encoding.json", R"({"pattern": "hello|."})");
  EXPECT_EQ(ids(AutoTokenizer::from_pretrained(other.path()), "hello"), (Ids{259}));
}

TEST(Tiktoken, FilesThatAreNone) {
  const test::ScratchFolder folder;
  const auto error = [&](const std::string& text) {
    try {
      read_tiktoken(text, folder.file("p50k_edit.tiktoken"));
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const std::string whole = rank_file();
  EXPECT_EQ(error(whole), "");
  EXPECT_NE(error(whole + "YQ== 300\n").find("token occurs twice"), std::string::npos);
  EXPECT_NE(error(whole + "YWJj 7\n").find("two tokens have id 7"), std::string::npos);
  EXPECT_NE(error(whole + "YWJj -1\n").find("line 266"), std::string::npos);
  EXPECT_NE(error(whole + "YWJj 99999999999999999999\n").find("line 266"), std::string::npos);
  EXPECT_NE(error(whole + "YWJj 100000001\n").find("id out of range"), std::string::npos);
  EXPECT_NE(error(whole + "=== 300\n").find("line 266"), std::string::npos);
  EXPECT_NE(error(whole + base64(std::string(2000, 'a')) + " 300\n").find("2000 bytes"), std::string::npos);
  EXPECT_NE(error(whole.substr(7)).find("byte 0"), std::string::npos);
  EXPECT_NE(error("").find("byte 0"), std::string::npos);
  for (const char* encoding : {"[]", "{}", R"({"pattern": "("})", R"({"pattern": "a", "special_tokens": {"a": -1}})",
                               R"({"pattern": "a", "special_tokens": {"": 400}})", R"({"pattern": "a", "more": 1})",
                               R"({"pattern": "(?s)a"})", R"({"pattern": "a", "special_tokens": {"x": 3}})"}) {
    folder.write("encoding.json", encoding);
    EXPECT_NE(error(whole), "") << encoding;
  }
}

TEST(Tekken, SpecialTokensComeFirst) {
  const test::ScratchFolder folder;
  folder.write("tekken.json", tekken_json().dump());
  const auto tokenizer = AutoTokenizer::from_pretrained(folder.path());
  EXPECT_EQ(ids(tokenizer, "hello1234<s>"), (Ids{263, 266, '4' + 4, 1}));
  EXPECT_EQ(tokenizer.bos_token_id(), 1);
  EXPECT_EQ(tokenizer.convert_ids_to_tokens(3), "<SPECIAL_3>");
  // The model knows fewer tokens than the file holds.
  EXPECT_EQ(tokenizer.vocab_size(), 268);
  EXPECT_EQ(ids(tokenizer, "中"), (Ids{267, 0xad + 4}));
  EXPECT_EQ(ids(Tokenizer::from_file(folder.file("tekken.json")), "hello"), (Ids{263}));
  Json old = tekken_json();
  old.erase("special_tokens");
  folder.write("tekken.json", old.dump());
  EXPECT_EQ(Tokenizer::from_file(folder.file("tekken.json")).token_to_id("[INST]"), 3);
}

TEST(Tekken, FilesThatAreNone) {
  const auto expect_error = [](const char* pointer, const Json& value, const std::string& part) {
    Json json = tekken_json();
    json[Json::json_pointer(pointer)] = value;
    try {
      read_tekken(json.dump(), "the-file");
      ADD_FAILURE() << pointer << ": no error";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  expect_error("/config/pattern", "(", "regular expression");
  expect_error("/config/pattern", 3, "config.pattern");
  expect_error("/config/default_vocab_size", 3, "default_vocab_size");
  expect_error("/config/default_num_special_tokens", 2, "special_tokens[2].rank");
  expect_error("/config/default_vocab_size", 200, "no token for the byte");
  expect_error("/vocab/3/rank", 4, "two tokens have id 8");
  expect_error("/vocab/3/token_bytes", "*", "no base64");
  expect_error("/vocab/3/token_bytes", "BA==", "no token for the byte 3");
  expect_error("/vocab", Json::array(), "no token for the byte 0");
  expect_error("/vocab/3", 3, "not a JSON object");
  expect_error("/special_tokens/1/rank", 0, "occurs twice");
  expect_error("/special_tokens/1/token_str", "<unk>", "occurs twice");
  expect_error("/more", 1, "unknown key");
}

}  // namespace
}  // namespace mica
