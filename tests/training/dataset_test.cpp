// Data sets in memory: cells, columns, and what makes one data set of another.

#include "mica/training/dataset/dataset.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "mica/tests/training/dataset_support.h"

namespace mica {
namespace {

using Strings = std::vector<std::string>;

Dataset reviews() {
  return Dataset::from_dict({{"text", {"I love this product", "This is terrible"}}, {"label", {1, 0}}});
}

class DatasetWithTokenizer : public datasets::WithTokenizer {};

TEST(Dataset, FromDict) {
  const Dataset dataset = reviews();
  EXPECT_EQ(dataset.size(), 2);
  EXPECT_EQ(dataset.column_names(), (Strings{"text", "label"}));
  EXPECT_EQ(dataset.features().text(), "{text: string, label: int64}");
  const Example row = dataset[1];
  EXPECT_EQ(row["text"].as_string(), "This is terrible");
  EXPECT_EQ(row["label"].as_int(), 0);
  EXPECT_EQ(row.row(), 1);
  EXPECT_EQ(dataset["label"], (std::vector<Value>{1, 0}));
}

TEST(Dataset, TypesAreInferredOverAllRows) {
  const Dataset dataset = Dataset::from_dict({{"mixed", {1, Value(), 2.5}},
                                              {"lists", {{1, 2}, Value::List(), {0.5}}},
                                              {"nested", {Value::List{{1}, {2, 3}}, Value(), Value::List{}}},
                                              {"words", {{"a", "b"}, {"c"}, Value::List{}}},
                                              {"flag", {true, false, Value()}},
                                              {"none", {Value(), Value(), Value()}}});
  EXPECT_EQ(dataset.features().text(),
            "{mixed: float64, lists: list<float64>, nested: list<list<int64>>, words: list<string>, flag: bool, "
            "none: null}");
  EXPECT_EQ(dataset[0]["mixed"], Value(1.0));
  EXPECT_TRUE(dataset[1]["mixed"].is_null());
  EXPECT_EQ(dataset[0]["lists"].as_doubles(), (std::vector<double>{1, 2}));
  EXPECT_EQ(dataset[1]["lists"].size(), 0);
  EXPECT_EQ(dataset[0]["nested"].at(1).as_ints()[1], 3);
  EXPECT_EQ(dataset[0]["words"].as_strings(), (Strings{"a", "b"}));
  EXPECT_EQ(dataset[1]["flag"], Value(false));
}

TEST(Dataset, StructsTakeNewFields) {
  const Dataset dataset =
      Dataset::from_dict({{"answer", {Value::structure({{"text", "x"}}), Value::structure({{"start", 4}})}}});
  EXPECT_EQ(dataset.features().text(), "{answer: {text: string, start: int64}}");
  EXPECT_TRUE(dataset[0]["answer"]["start"].is_null());
  EXPECT_TRUE(dataset[1]["answer"]["text"].is_null());
  EXPECT_EQ(dataset[1]["answer"]["start"], Value(4));
  EXPECT_ERROR(dataset[0]["answer"]["end"], "no field \"end\"");
}

TEST(Dataset, ErrorsNameColumnAndRow) {
  EXPECT_ERROR(reviews()[0]["label"].as_string(), "column \"label\" of row 0");
  EXPECT_ERROR(reviews()[1]["text"].as_int(), "a text, \"This is terrible\"");
  EXPECT_ERROR(reviews()[0]["txt"], "there are: text, label");
  EXPECT_ERROR(reviews()[2], "no row 2");
  EXPECT_ERROR(Dataset::from_dict({{"a", {1, 2}}, {"b", {1}}}), "\"b\" has 1 rows");
  EXPECT_ERROR(Dataset::from_dict({{"a", {1}}, {"a", {2}}}), "twice");
  EXPECT_ERROR(Dataset::from_dict({{"a", {1, "x"}}}), "column \"a\" of row 1");
  EXPECT_ERROR(Dataset::from_dict({{"a", {{1, 2}, {"x"}}}}), "column \"a\" of row 1");
  EXPECT_ERROR(Dataset::from_dict({{"a", {int64_t{1} << 60, 0.5}}}), "lose digits");
}

TEST(Dataset, SelectAndShuffle) {
  std::vector<Value> numbers(100);
  for (int i = 0; i < 100; ++i) numbers[static_cast<size_t>(i)] = i;
  const Dataset dataset = Dataset::from_dict(Dataset::Columns{{"n", numbers}});
  EXPECT_EQ(dataset.select({3, 1, 3})["n"], (std::vector<Value>{3, 1, 3}));
  EXPECT_EQ(dataset.select({9, 5, 7}).select({2, 0})["n"], (std::vector<Value>{7, 9}));
  EXPECT_ERROR(dataset.select({100}), "no row 100");

  std::vector<Value> shuffled = dataset.shuffle(7)["n"];
  EXPECT_EQ(shuffled, dataset.shuffle(7)["n"]);
  EXPECT_NE(shuffled, dataset.shuffle(8)["n"]);
  EXPECT_NE(shuffled, numbers);
  std::sort(shuffled.begin(), shuffled.end(), [](const Value& a, const Value& b) { return a.as_int() < b.as_int(); });
  EXPECT_EQ(shuffled, numbers);
}

TEST(Dataset, MapAddsReplacesAndRemoves) {
  const Dataset dataset = reviews();
  const Dataset mapped = dataset.map(
      [](const Example& e) {
        return Example{{"length", static_cast<int64_t>(e["text"].as_string().size())},
                       {"label", e["label"].as_int() + 10}};
      },
      {.remove_columns = {"text"}});
  EXPECT_EQ(mapped.column_names(), (Strings{"label", "length"}));
  EXPECT_EQ(mapped["length"], (std::vector<Value>{19, 16}));
  EXPECT_EQ(mapped["label"], (std::vector<Value>{11, 10}));
  EXPECT_EQ(dataset.column_names(), (Strings{"text", "label"})) << "the source stays as it is";
  EXPECT_ERROR(dataset.map([](const Example& e) { return e; }, {.remove_columns = {"x"}}), "no column \"x\"");
}

TEST(Dataset, MapOnSeveralThreadsKeepsTheOrder) {
  std::vector<Value> numbers;
  for (int i = 0; i < 5000; ++i) numbers.emplace_back(i);
  const Dataset dataset = Dataset::from_dict(Dataset::Columns{{"n", numbers}});
  const auto square = [](const Example& e) { return Example{{"square", e["n"].as_int() * e["n"].as_int()}}; };
  const Dataset one = dataset.map(square), four = dataset.map(square, {.num_proc = 4});
  EXPECT_EQ(one["square"], four["square"]);
  EXPECT_EQ(four[4999]["square"], Value(4999 * 4999));
  const auto fail = [](const Example& e) -> MappedRow {
    if (e["n"].as_int() == 3456) throw Error("no", "here", "");
    return Example();
  };
  EXPECT_ERROR(dataset.map(fail, {.num_proc = 4}), "no (here)");
}

TEST_F(DatasetWithTokenizer, MapTakesEncodings) {
  const Tokenizer& tokenizer = this->tokenizer();
  const Dataset tokenized = reviews().map([&](const Example& e) {
    return tokenizer(e["text"], {.padding = Padding::max_length, .truncation = true, .max_length = 12});
  });
  EXPECT_EQ(tokenized.column_names(), (Strings{"text", "label", "input_ids", "token_type_ids", "attention_mask"}));
  for (int64_t row = 0; row < 2; ++row) {
    const BatchEncoding direct =
        tokenizer(tokenized[row]["text"], {.padding = Padding::max_length, .truncation = true, .max_length = 12});
    EXPECT_TRUE(std::ranges::equal(tokenized[row]["input_ids"].as_ints(), direct.input_ids[0]));
    EXPECT_TRUE(std::ranges::equal(tokenized[row]["attention_mask"].as_ints(), direct.attention_mask[0]));
  }
  const Dataset windows = reviews().map([&](const Example& e) {
    return tokenizer(e["text"], {.truncation = true, .max_length = 4, .return_overflowing_tokens = true});
  });
  EXPECT_EQ(windows.features()["input_ids"].text(), "list<list<int64>>");
  EXPECT_GT(windows[0]["input_ids"].size(), 1);
}

TEST(Dataset, AnEmptyOne) {
  const Dataset dataset;
  EXPECT_TRUE(dataset.empty());
  EXPECT_EQ(dataset.num_columns(), 0);
  EXPECT_TRUE(dataset.shuffle(1).map([](const Example& e) { return e; }).empty());
}

}  // namespace
}  // namespace mica
