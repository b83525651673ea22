// Every expected case of the WordPiece tokenizers: from vocab.txt, from tokenizer.json, and after saving and reloading.

#include <map>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

using test::ScratchFolder;

// The row as the expected files spell it.
Json row_json(const BatchEncoding& encoding, size_t row, bool tokens) {
  Json json = Json::object();
  json["ids"] = std::vector<int32_t>(encoding.input_ids[row].begin(), encoding.input_ids[row].end());
  if (tokens) json["tokens"] = encoding.tokens(row);
  Json offsets = Json::array();
  for (const CharSpan span : encoding.offsets(row)) offsets.push_back(Json::array({span.begin, span.end}));
  json["offsets"] = offsets;
  json["type_ids"] = std::vector<int32_t>(encoding.token_type_ids[row].begin(), encoding.token_type_ids[row].end());
  json["special_tokens_mask"] = encoding.special_tokens_mask(row);
  return json;
}

std::string compare(const Json& expected, const BatchEncoding& encoding, size_t row) {
  const Json got = row_json(encoding, row, expected.contains("tokens"));
  for (const auto& [key, value] : got.items()) {
    if (expected.at(key) != value) return key + ": expected " + expected.at(key).dump() + ", got " + value.dump();
  }
  return "";
}

Side side(const Json& json) {
  return json == "left" ? Side::left : Side::right;
}

std::string check_text(const Tokenizer& tokenizer, const Json& c) {
  const auto text = c["text"].get<std::string>();
  const auto encoding = c.contains("pair") ? tokenizer(text, c["pair"].get<std::string>()) : tokenizer(text);
  if (std::string wrong = compare(c, encoding, 0); !wrong.empty()) return wrong;
  if (c.contains("ids_without_special_tokens")) {
    const TokenizerOptions without{.add_special_tokens = false};
    auto plain = c.contains("pair") ? tokenizer(text, c["pair"].get<std::string>(), without) : tokenizer(text, without);
    if (plain.input_ids.values() != c["ids_without_special_tokens"]) return "ids_without_special_tokens";
  }
  const auto ids = encoding.input_ids[0];
  const auto decodes = [&](const char* key, const DecodeOptions& options) {
    return !c.contains(key) || tokenizer.decode(ids, options) == c[key];
  };
  if (!decodes("decoded", {.clean_up_tokenization_spaces = false})) return "decoded";
  if (!decodes("decoded_skip_special_tokens", {.skip_special_tokens = true, .clean_up_tokenization_spaces = false})) {
    return "decoded_skip_special_tokens";
  }
  if (!decodes("decoded_skip_cleaned_up", {.skip_special_tokens = true, .clean_up_tokenization_spaces = true})) {
    return "decoded_skip_cleaned_up";
  }
  return "";
}

std::string check_truncation(const Tokenizer& tokenizer, const Json& c) {
  const std::map<std::string, Truncation> strategies = {{"longest_first", Truncation::longest_first},
                                                        {"only_first", Truncation::only_first},
                                                        {"only_second", Truncation::only_second}};
  const TokenizerOptions options{.truncation = strategies.at(c["strategy"]),
                                 .max_length = c["max_length"].get<int64_t>(),
                                 .stride = c["stride"].get<int64_t>(),
                                 .return_overflowing_tokens = true,
                                 .truncation_side = side(c["direction"])};
  const auto text = c["text"].get<std::string>();
  try {
    const auto encoding =
        c["pair"].is_null() ? tokenizer(text, options) : tokenizer(text, c["pair"].get<std::string>(), options);
    if (c.contains("error")) return "expected an error";
    if (encoding.size() != c["overflowing"].size() + 1) return "number of windows";
    for (size_t i = 0; i < encoding.size(); ++i) {
      if (std::string wrong = compare(i == 0 ? c : c["overflowing"][i - 1], encoding, i); !wrong.empty()) {
        return "window " + std::to_string(i) + ", " + wrong;
      }
    }
  } catch (const Error& error) {
    if (!c.contains("error")) return error.what();
  }
  return "";
}

std::string check_padding(const Tokenizer& tokenizer, const Json& c) {
  const bool fixed = !c["length"].is_null();
  TokenizerOptions options{.padding = fixed ? Padding::max_length : Padding::longest, .truncation = false};
  if (fixed) options.max_length = c["length"].get<int64_t>();
  if (!c["pad_to_multiple_of"].is_null()) options.pad_to_multiple_of = c["pad_to_multiple_of"].get<int64_t>();
  options.padding_side = side(c["direction"]);
  const auto encoding = tokenizer(c["texts"].get<std::vector<std::string>>(), options);
  for (size_t i = 0; i < encoding.size(); ++i) {
    if (std::string wrong = compare(c["batch"][i], encoding, i); !wrong.empty()) return wrong;
    const auto mask = encoding.attention_mask[i];
    if (std::vector<int32_t>(mask.begin(), mask.end()) != c["batch"][i]["attention_mask"]) return "attention_mask";
  }
  return "";
}

std::string check_words(const Tokenizer& tokenizer, const Json& c) {
  const auto encoding = tokenizer(c["words"].get<std::vector<std::string>>(), {.is_split_into_words = true});
  Json words = Json::array();
  for (const int32_t word : encoding.word_ids()) words.push_back(word < 0 ? Json(nullptr) : Json(word));
  return words != c["word_ids"] ? "word_ids" : compare(c, encoding, 0);
}

std::string check(const Tokenizer& tokenizer, const Json& c) {
  if (c["case"] == "text" || c["case"] == "pair") return check_text(tokenizer, c);
  if (c["case"] == "truncation") return check_truncation(tokenizer, c);
  if (c["case"] == "padding") return check_padding(tokenizer, c);
  if (c["case"] == "words") return check_words(tokenizer, c);
  return "unknown case";
}

void check_all(const Tokenizer& tokenizer, const std::string& name, const std::string& source) {
  int passed = 0, total = 0, shown = 0;
  for (const Json& c : test::expected_cases(name)) {
    const std::string wrong = check(tokenizer, c);
    ++total;
    passed += wrong.empty() ? 1 : 0;
    if (!wrong.empty() && shown++ < 10) ADD_FAILURE() << source << ": " << c.dump().substr(0, 300) << "\n  " << wrong;
  }
  EXPECT_EQ(passed, total) << source;
  std::printf("%s from %s: %d of %d cases\n", name.c_str(), source.c_str(), passed, total);
}

class Expected : public testing::TestWithParam<const char*> {};

TEST_P(Expected, FromVocabTxt) {
  const ScratchFolder folder;
  test::unpack(GetParam(), folder, {"vocab.txt", "tokenizer_config.json"});
  const Tokenizer tokenizer = AutoTokenizer::from_pretrained(folder.path());
  check_all(tokenizer, GetParam(), "vocab.txt");
}

TEST_P(Expected, AfterSavingAndReloading) {
  const ScratchFolder folder, saved;
  test::unpack(GetParam(), folder, {"vocab.txt", "tokenizer_config.json"});
  AutoTokenizer::from_pretrained(folder.path()).save_pretrained(saved.path());
  std::filesystem::remove(saved.file("vocab.txt"));
  check_all(AutoTokenizer::from_pretrained(saved.path()), GetParam(), "saved tokenizer.json");
}

INSTANTIATE_TEST_SUITE_P(WordPiece, Expected,
                         testing::Values("bert-base-uncased", "bert-base-cased", "bert-base-multilingual-cased",
                                         "bert-base-chinese"),
                         [](const auto& param_info) {
                           std::string name = param_info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(ExpectedFromTokenizerJson, BertBaseUncased) {
  const ScratchFolder folder;
  test::unpack("bert-base-uncased", folder, {"tokenizer.json"});
  check_all(Tokenizer::from_file(folder.file("tokenizer.json")), "bert-base-uncased", "tokenizer.json alone");
  test::unpack("bert-base-uncased", folder, {"tokenizer_config.json"});
  check_all(AutoTokenizer::from_pretrained(folder.path()), "bert-base-uncased", "its folder");
}

}  // namespace
}  // namespace mica
