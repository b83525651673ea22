#pragma once
// The cases of expected.jsonl, held against a tokenizer.

#include <map>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica::test {

// The row as the expected files spell it.
inline Json row_json(const BatchEncoding& encoding, size_t row, bool tokens) {
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

inline std::string compare(const Json& expected, const BatchEncoding& encoding, size_t row) {
  const Json got = row_json(encoding, row, expected.contains("tokens"));
  for (const auto& [key, value] : got.items()) {
    if (expected.at(key) != value) return key + ": expected " + expected.at(key).dump() + ", got " + value.dump();
  }
  return "";
}

inline Side side(const Json& json) {
  return json == "left" ? Side::left : Side::right;
}

inline std::string check_text(const Tokenizer& tokenizer, const Json& c) {
  const auto text = c["text"].get<std::string>();
  const TokenizerOptions all{.return_token_type_ids = true};
  const auto encoding = c.contains("pair") ? tokenizer(text, c["pair"].get<std::string>(), all) : tokenizer(text, all);
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

inline std::string check_truncation(const Tokenizer& tokenizer, const Json& c) {
  const std::map<std::string, Truncation> strategies = {{"longest_first", Truncation::longest_first},
                                                        {"only_first", Truncation::only_first},
                                                        {"only_second", Truncation::only_second}};
  const TokenizerOptions options{.truncation = strategies.at(c["strategy"]),
                                 .max_length = c["max_length"].get<int64_t>(),
                                 .stride = c["stride"].get<int64_t>(),
                                 .return_overflowing_tokens = true,
                                 .truncation_side = side(c["direction"]),
                                 .return_token_type_ids = true};
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

inline std::string check_padding(Tokenizer tokenizer, const Json& c) {
  if (!tokenizer.pad_token()) tokenizer.add_special_tokens({.pad_token = c.at("pad_token").get<std::string>()});
  const bool fixed = !c["length"].is_null();
  TokenizerOptions options{
      .padding = fixed ? Padding::max_length : Padding::longest, .truncation = false, .return_token_type_ids = true};
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

inline std::string check_words(const Tokenizer& tokenizer, const Json& c) {
  const auto encoding = tokenizer(c["words"].get<std::vector<std::string>>(),
                                  {.is_split_into_words = true, .return_token_type_ids = true});
  Json words = Json::array();
  for (const int32_t word : encoding.word_ids()) words.push_back(word < 0 ? Json(nullptr) : Json(word));
  return words != c["word_ids"] ? "word_ids" : compare(c, encoding, 0);
}

inline std::string check(const Tokenizer& tokenizer, const Json& c) {
  if (c["case"] == "text" || c["case"] == "pair") return check_text(tokenizer, c);
  if (c["case"] == "truncation") return check_truncation(tokenizer, c);
  if (c["case"] == "padding") return check_padding(tokenizer, c);
  if (c["case"] == "words") return check_words(tokenizer, c);
  return "unknown case";
}

inline void check_all(const Tokenizer& tokenizer, const std::vector<Json>& cases, const std::string& name,
                      const std::string& source) {
  int passed = 0, total = 0, shown = 0;
  for (const Json& c : cases) {
    const std::string wrong = check(tokenizer, c);
    ++total;
    passed += wrong.empty() ? 1 : 0;
    if (!wrong.empty() && shown++ < 10) ADD_FAILURE() << source << ": " << c.dump().substr(0, 300) << "\n  " << wrong;
  }
  EXPECT_EQ(passed, total) << source;
  std::printf("%s from %s: %d of %d cases\n", name.c_str(), source.c_str(), passed, total);
}

inline void check_all(const Tokenizer& tokenizer, const std::string& name, const std::string& source) {
  check_all(tokenizer, expected_cases(name), name, source);
}

}  // namespace mica::test
