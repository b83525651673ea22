// Data sets out of data sets.

#include <algorithm>

#include <gtest/gtest.h>

#include "mica/tests/training/dataset_support.h"
#include "mica/training/dataset/group_texts.h"

namespace mica {
namespace {

using Strings = std::vector<std::string>;

Dataset counted(int64_t n) {
  std::vector<Value> numbers, names;
  for (int64_t i = 0; i < n; ++i) {
    numbers.emplace_back(i);
    names.emplace_back("row " + std::to_string(i));
  }
  return Dataset::from_dict(Dataset::Columns{{"n", numbers}, {"name", names}});
}

std::vector<int64_t> column(const Dataset& dataset, const char* name = "n") {
  std::vector<int64_t> result;
  for (const Value& each : dataset[name]) result.push_back(each.as_int());
  return result;
}

TEST(DatasetTransform, Filter) {
  const auto odd = [](const Example& row) { return row["n"].as_int() % 2 == 1; };
  EXPECT_EQ(column(counted(7).filter(odd)), (std::vector<int64_t>{1, 3, 5}));
  EXPECT_EQ(column(counted(3000).filter(odd, {.num_proc = 3})), column(counted(3000).filter(odd)));
  EXPECT_TRUE(counted(1).filter(odd).empty());
}

TEST(DatasetTransform, Split) {
  const DatasetSplit split = counted(10).train_test_split({.test_size = 0.25, .seed = 3});
  EXPECT_EQ(split.test.size(), 3) << "rounded up";
  std::vector<int64_t> all = column(split.train);
  const std::vector<int64_t> test = column(split.test);
  all.insert(all.end(), test.begin(), test.end());
  EXPECT_FALSE(std::is_sorted(all.begin(), all.end()));
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, column(counted(10)));
  EXPECT_EQ(test, column(counted(10).train_test_split({.test_size = 3, .seed = 3}).test));
  EXPECT_EQ(column(counted(4).train_test_split({.test_size = 1, .shuffle = false}).test), (std::vector<int64_t>{3}));
  EXPECT_ERROR(counted(4).train_test_split({.test_size = 4}), "test_size of 4");
  EXPECT_ERROR(counted(4).train_test_split({.test_size = 0}), "test_size of 0");
  EXPECT_ERROR(counted(1).train_test_split(), "test_size");
}

TEST(DatasetTransform, Columns) {
  const Dataset dataset = counted(2);
  EXPECT_EQ(dataset.rename_column("n", "number").column_names(), (Strings{"number", "name"}));
  EXPECT_EQ(dataset.rename_columns({{"n", "name"}, {"name", "n"}})[0]["n"], Value("row 0"));
  EXPECT_EQ(dataset.remove_columns({"n"}).column_names(), (Strings{"name"}));
  EXPECT_EQ(dataset.select({1}).select_columns({"name", "n"})[0], (Example{{"name", "row 1"}, {"n", 1}}));
  EXPECT_ERROR(dataset.rename_column("n", "name"), "two columns \"name\"");
  EXPECT_ERROR(dataset.rename_column("x", "y"), "no column \"x\"");
  EXPECT_ERROR(dataset.remove_columns({"x"}), "no column \"x\"");
  EXPECT_ERROR(dataset.select_columns({"n", "n"}), "twice");
}

TEST(DatasetTransform, FormatHidesColumns) {
  Dataset dataset = counted(3);
  dataset.set_format({"name"});
  EXPECT_EQ(dataset[0].column_names(), (Strings{"name"}));
  EXPECT_EQ(dataset.select({2})[0].column_names(), (Strings{"name"}));
  const Dataset mapped = dataset.map([](const Example& row) { return Example{{"columns", row.size()}}; });
  EXPECT_EQ(mapped[0]["columns"], Value(1));
  EXPECT_EQ(mapped.column_names(), (Strings{"n", "name", "columns"})) << "hidden columns are kept";
  dataset.reset_format();
  EXPECT_EQ(dataset[0].size(), 2);
  EXPECT_ERROR(dataset.set_format({"x"}), "no column \"x\"");
}

TEST(DatasetTransform, Concatenate) {
  const Dataset a = counted(3).select({2, 0}), b = Dataset::from_dict({{"n", {0.5}}, {"extra", {true}}});
  const Dataset both = concatenate_datasets({a, b, a});
  EXPECT_EQ(both.size(), 5);
  EXPECT_EQ(both.features().text(), "{n: float64, name: string, extra: bool}");
  EXPECT_EQ(both[0]["n"], Value(2.0)) << "integers become numbers";
  EXPECT_EQ(both[2]["n"], Value(0.5));
  EXPECT_TRUE(both[2]["name"].is_null());
  EXPECT_TRUE(both[4]["extra"].is_null());
  EXPECT_EQ(both[4]["name"], Value("row 0"));
  EXPECT_ERROR(concatenate_datasets({counted(1), Dataset::from_dict({{"n", {"x"}}})}), "column \"n\" is int64 in one");
  EXPECT_TRUE(concatenate_datasets({}).empty());
}

TEST(DatasetTransform, MapBatched) {
  const auto twice = [](const Batch& batch) {
    std::vector<Value> doubled;
    for (const Value& each : batch["n"]) doubled.emplace_back(2 * each.as_int());
    return Batch{{"twice", doubled}};
  };
  const Dataset mapped = counted(10).map_batched(twice, {.batch_size = 3, .remove_columns = {"name"}});
  EXPECT_EQ(mapped.column_names(), (Strings{"n", "twice"}));
  EXPECT_EQ(column(mapped, "twice"), (std::vector<int64_t>{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}));
  EXPECT_EQ(mapped["twice"], counted(10).map_batched(twice, {.batch_size = 3, .num_proc = 3})["twice"]);
  // Other numbers of rows, where no column of the source is left.
  const auto every = [](const Batch& batch) { return Batch{{"first", {batch["n"].front()}}}; };
  const Dataset fewer = counted(10).map_batched(every, {.batch_size = 4, .remove_columns = {"n", "name"}});
  EXPECT_EQ(column(fewer, "first"), (std::vector<int64_t>{0, 4, 8}));
  EXPECT_ERROR(counted(10).map_batched(every, {.batch_size = 4}), "1 rows out of 4");
  EXPECT_ERROR(counted(10).map_batched(twice, {.batch_size = 0}), "batch_size is 0");
}

class DatasetTransformWithTokenizer : public datasets::WithTokenizer {};

TEST_F(DatasetTransformWithTokenizer, MapBatchedTakesEncodings) {
  const Dataset dataset = counted(5);
  const Dataset one = dataset.map([&](const Example& row) { return tokenizer()(row["name"]); });
  const Dataset many = dataset.map_batched([&](const Batch& batch) { return tokenizer()(batch.strings("name")); });
  EXPECT_EQ(one.column_names(), many.column_names());
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(one[i], many[i]);
}

TEST(DatasetTransform, ClassesOfTexts) {
  const Dataset dataset = Dataset::from_dict({{"label", {"pos", "neg", Value(), "pos"}}}).class_encode_column("label");
  EXPECT_EQ(dataset.features().text(), "{label: class_label[neg, pos]}");
  EXPECT_EQ(dataset["label"], (std::vector<Value>{1, 0, Value(), 1}));
  EXPECT_EQ(dataset.features()["label"].int2str(1), "pos");
  EXPECT_EQ(dataset.features()["label"].str2int("neg"), 0);
  EXPECT_ERROR(dataset.features()["label"].int2str(2), "no class 2");
  // Names stay through functions that leave the numbers be, and go where there are others.
  const auto same = [](const Example&) { return Example{{"x", 1}}; };
  EXPECT_TRUE(dataset.map(same).features()["label"].is_class_label());
  const auto other = [](const Example&) { return Example{{"label", 7}}; };
  EXPECT_FALSE(dataset.map(other).features()["label"].is_class_label());
}

TEST(DatasetTransform, MapKeepsTheTypesOfNulls) {
  const Dataset dataset = Dataset::from_dict({{"a", {1, Value()}}, {"b", {{"x"}, Value::List()}}}).select({1});
  const auto same = [](const Example&) { return Example(); };
  EXPECT_EQ(dataset.map(same).features(), dataset.features());
}

TEST(DatasetTransform, ClassesOfNumbersAndLists) {
  const Dataset numbers = Dataset::from_dict({{"label", {10, 2, 10}}}).class_encode_column("label");
  EXPECT_EQ(numbers.features().text(), "{label: class_label[2, 10]}") << "by size";
  EXPECT_EQ(column(numbers, "label"), (std::vector<int64_t>{1, 0, 1}));
  const Dataset tags = Dataset::from_dict({{"tags", {{"O", "B-x"}, {"O"}}}}).class_encode_column("tags");
  EXPECT_EQ(tags.features().text(), "{tags: list<class_label[B-x, O]>}");
  EXPECT_EQ(tags[0]["tags"], Value({1, 0}));
  EXPECT_EQ(tags.features()["tags"].item().int2str(0), "B-x");
}

TEST(DatasetTransform, ClassesByGivenNames) {
  const Dataset dataset = Dataset::from_dict({{"label", {"b", "a"}}});
  EXPECT_EQ(column(dataset.class_encode_column("label", {"b", "c", "a"}), "label"), (std::vector<int64_t>{0, 2}));
  EXPECT_ERROR(dataset.class_encode_column("label", {"b", "c"}), "column \"label\" of row 1");
  EXPECT_ERROR(Dataset::from_dict({{"label", {0, 2}}}).class_encode_column("label", {"x", "y"}),
               "column \"label\" of row 1");
  EXPECT_ERROR(dataset.class_encode_column("label", {"b", "b"}), "two classes");
  EXPECT_ERROR(dataset.class_encode_column("x"), "no column \"x\"");
  EXPECT_ERROR(Dataset::from_dict({{"label", {0.5}}}).class_encode_column("label"), "column \"label\" of row 0");
}

TEST(DatasetTransform, GroupTexts) {
  const Dataset dataset = Dataset::from_dict({{"text", {"a", "b", "c"}},
                                              {"attention_mask", {{1, 1, 1}, {1}, {1, 1, 0}}},
                                              {"input_ids", {{1, 2, 3}, {4}, {5, 6, 7}}}});
  const Dataset blocks = group_texts(dataset, 2);
  EXPECT_EQ(blocks.column_names(), (Strings{"input_ids", "attention_mask"}));
  EXPECT_EQ(blocks["input_ids"], (std::vector<Value>{{1, 2}, {3, 4}, {5, 6}}));
  EXPECT_EQ(blocks["attention_mask"], (std::vector<Value>{{1, 1}, {1, 1}, {1, 1}}));
  EXPECT_EQ(group_texts(dataset, 7)["input_ids"], (std::vector<Value>{{1, 2, 3, 4, 5, 6, 7}}));
  EXPECT_ERROR(group_texts(dataset, 8), "7 tokens make no block of 8");
  EXPECT_ERROR(group_texts(dataset, 0), "block_size is 0");
  EXPECT_ERROR(group_texts(dataset.remove_columns({"input_ids"}), 2), "no column \"input_ids\"");
  const Dataset uneven = Dataset::from_dict({{"input_ids", {{1}, {2}}}, {"extra", {{1}, {2, 3}}}});
  EXPECT_ERROR(group_texts(uneven, 2), "column \"extra\" of row 1");
}

}  // namespace
}  // namespace mica
