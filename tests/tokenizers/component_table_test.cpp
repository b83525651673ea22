// Components with random settings over random texts, against what the tokenizers library 0.23.3 gave for them.

#include <gtest/gtest.h>

#include "mica/base/warnings.h"
#include "mica/tests/tokenizers/test_data.h"
#include "mica/tokenizers/tokenizer.h"

namespace mica {
namespace {

Json model_of(const Json& line) {
  Json vocabulary = Json::object();
  int id = 0;
  for (const char* token : {"[UNK]", "a",    "b",   "ab",  "abc",   " ",     "1", "12",   "中",  "é", "x", "##a",
                            "##b",   "##ab", "##é", "é##", "[CLS]", "[SEP]", "ß", "##中", "##1", ".", "-"}) {
    vocabulary[token] = id++;
  }
  Json model = {{"type", "WordLevel"}, {"unk_token", line["unk"]}};
  if (line["model"].is_array()) {
    model["type"] = "WordPiece";
    model["continuing_subword_prefix"] = line["model"][0];
    model["max_input_chars_per_word"] = line["model"][1];
  }
  model["vocab"] = vocabulary;
  return model;
}

TEST(ComponentTable, IdsOffsetsAndWordsAreTheReferences) {
  const WarningCatcher catcher;  // of ids of added tokens
  int passed = 0, total = 0, shown = 0;
  for (const Json& line : test::json_lines("components.jsonl.gz")) {
    ++total;
    Json file = line["config"];
    file["model"] = model_of(line);
    const auto tokenizer = Tokenizer::from_json(file.dump());
    const auto text = line["text"].get<std::string>();
    const auto encoding = line.contains("pair") ? tokenizer(text, line["pair"].get<std::string>()) : tokenizer(text);
    std::vector<int32_t> offsets;
    for (const CharSpan span : encoding.offsets()) offsets.insert(offsets.end(), {span.begin, span.end});
    const bool same = encoding.input_ids.values() == line["ids"] && offsets == line["offsets"] &&
                      std::ranges::equal(encoding.word_ids(), line["words"].get<std::vector<int32_t>>()) &&
                      encoding.token_type_ids.values() == line["types"];
    passed += same ? 1 : 0;
    if (!same && shown++ < 10) ADD_FAILURE() << line.dump().substr(0, 1500);
    // Saved and read back, it is the same tokenizer.
    EXPECT_EQ(Tokenizer::from_json(tokenizer.to_json())(text).input_ids, tokenizer(text).input_ids) << file.dump();
  }
  EXPECT_EQ(passed, total);
  EXPECT_GT(total, 400);
}

}  // namespace
}  // namespace mica
