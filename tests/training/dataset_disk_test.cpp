// Data sets on disk: saved, mapped, cached.

#include <filesystem>

#include <gtest/gtest.h>

#include "mica/base/file.h"
#include "mica/tests/training/dataset_support.h"
#include "mica/training/dataset/disk.h"

namespace mica {
namespace {

using Strings = std::vector<std::string>;

Dataset of_all_types() {
  const Value answer = Value::structure({{"text", {"a", "b"}}, {"start", {1, 2}}});
  return Dataset::from_dict({{"text", {"first", Value(), ""}},
                             {"int", {1, 2, Value()}},
                             {"float", {0.5, Value(), -1}},
                             {"flag", {true, false, Value()}},
                             {"ids", {{1, 2, 3}, Value::List(), Value()}},
                             {"scores", {{0.5}, {1.5, 2}, Value()}},
                             {"nested", {Value::List{{1}, {2, 3}}, Value(), Value::List{Value::List()}}},
                             {"answer", {answer, Value(), answer}},
                             {"empty", {Value::structure({}), Value(), Value::structure({})}},
                             {"none", {Value(), Value(), Value()}}});
}

void expect_same(const Dataset& a, const Dataset& b) {
  EXPECT_EQ(a.features(), b.features());
  ASSERT_EQ(a.size(), b.size());
  for (int64_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i], b[i]) << a[i].text() << "\n" << b[i].text();
}

class DatasetDisk : public testing::Test {
 protected:
  std::string path(const char* name = "data") const { return folder_ / name; }
  tiny::TemporaryFolder folder_;
};

TEST_F(DatasetDisk, EveryTypeComesBack) {
  const Dataset dataset = of_all_types();
  dataset.save_to_disk(path());
  expect_same(Dataset::load_from_disk(path()), dataset);
  expect_same(Dataset::from_file(path()), dataset);
  EXPECT_EQ(Dataset::load_from_disk(path()).fingerprint(), dataset.fingerprint());
}

TEST_F(DatasetDisk, OrderAndClassesComeBack) {
  const Dataset dataset = of_all_types().select({2, 0, 0}).class_encode_column("text");
  dataset.save_to_disk(path());
  expect_same(Dataset::load_from_disk(path()), dataset);
  const Dataset ordered = of_all_types().select({2, 0, 0});
  ordered.save_to_disk(path());
  expect_same(Dataset::load_from_disk(path()), ordered);
}

TEST_F(DatasetDisk, SavingReplacesWhatWasThere) {
  const Dataset first = of_all_types(), second = first.select({1});
  first.save_to_disk(path());
  const Dataset mapped = Dataset::load_from_disk(path());
  second.save_to_disk(path());
  expect_same(Dataset::load_from_disk(path()), second);
  expect_same(mapped, first);  // still open
  mapped.save_to_disk(path());
  expect_same(Dataset::load_from_disk(path()), first);
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path())) files += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(files, 2) << "dataset.json and one file of rows";
}

TEST_F(DatasetDisk, BlocksOfDifferentTypes) {
  // The first block holds integers and lacks a column that comes up later.
  DatasetWriter writer(path(), "0123456789abcdef");
  RowGatherer rows([&](const RowBlock& block) { return writer.write(block); }, 1);
  for (int i = 0; i < 64; ++i) rows.add(Example{{"n", i}, {"s", Value::structure({{"x", i}})}});
  for (int i = 0; i < 64; ++i)
    rows.add(Example{{"n", i + 0.5}, {"s", Value::structure({{"y", {0.5}}})}, {"late", "x"}});
  const auto made = rows.finish("0123456789abcdef");
  ASSERT_EQ(made->blocks.size(), 2);
  writer.finish(made->features);
  const Dataset loaded = Dataset::load_from_disk(path());
  expect_same(loaded, Dataset(made));
  EXPECT_EQ(loaded.features().text(), "{n: float64, s: {x: int64, y: list<float64>}, late: string}");
  EXPECT_EQ(loaded[3]["n"], Value(3.0));
  EXPECT_TRUE(loaded[3]["late"].is_null());
  EXPECT_TRUE(loaded[3]["s"]["y"].is_null());
  EXPECT_EQ(loaded[64]["late"], Value("x"));
}

TEST_F(DatasetDisk, DamageIsAnError) {
  EXPECT_ERROR(Dataset::load_from_disk(path()), "dataset.json");
  of_all_types().save_to_disk(path());
  const std::string info = path() + "/dataset.json";
  const std::string text = read_file(info);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    const size_t at = changed.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    tiny::write_text(info, changed);
  };
  with("\"rows\": 3", "\"rows\": 4");
  EXPECT_ERROR(Dataset::load_from_disk(path()), "does not fit");
  with("\"int64\"", "\"string\"");
  EXPECT_ERROR(Dataset::load_from_disk(path()), "\"int\" does not fit");
  with("\"data-", "\"../data-");
  EXPECT_ERROR(Dataset::load_from_disk(path()), "no plain file name");
  with("\"version\": 1", "\"version\": 2");
  EXPECT_ERROR(Dataset::load_from_disk(path()), "another format");
  EXPECT_ERROR(Dataset().save_to_disk(path()), "without columns");
}

TEST_F(DatasetDisk, MapIsCachedUntilSomethingChanges) {
  const std::string source = path("rows.jsonl");
  tiny::write_text(source, "{\"n\": 1}\n{\"n\": 2}\n");
  int calls = 0;
  const auto map = [&](const char* version, bool remove = false) {
    calls = 0;
    const Dataset mapped = Dataset::from_jsonl(source).map(
        [&](const Example& row) {
          ++calls;
          return Example{{"twice", 2 * row["n"].as_int()}};
        },
        {.remove_columns = remove ? Strings{"n"} : Strings{}, .cache_folder = path("cache"), .fingerprint = version});
    EXPECT_EQ(mapped[1]["twice"], Value(2 * Dataset::from_jsonl(source)[1]["n"].as_int()));
    return mapped;
  };
  const Dataset first = map("v1");
  EXPECT_EQ(calls, 2);
  expect_same(map("v1"), first);
  EXPECT_EQ(calls, 0) << "from the cache";
  map("v2");
  EXPECT_EQ(calls, 2) << "another function";
  map("v1", true);
  EXPECT_EQ(calls, 2) << "other columns";
  tiny::write_text(source, "{\"n\": 1}\n{\"n\": 30}\n");
  map("v1");
  EXPECT_EQ(calls, 2) << "another source";
  // Damage counts as no cache.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path("cache"))) {
    if (entry.path().extension() == ".safetensors") std::filesystem::resize_file(entry.path(), 40);
  }
  map("v1");
  EXPECT_EQ(calls, 2);
  EXPECT_ERROR(first.map([](const Example& row) { return row; }, {.cache_folder = path("cache")}), "fingerprint");
}

TEST_F(DatasetDisk, ReadersAreCachedUntilTheFileChanges) {
  const std::string source = path("rows.csv");
  tiny::write_text(source, "a,b\n1,x\n");
  const auto read = [&](char quote = '"') {
    return Dataset::from_csv(source, {.quote = quote, .cache_folder = path("cache")});
  };
  const auto cached_files = [&] {
    return std::distance(std::filesystem::directory_iterator(path("cache")), std::filesystem::directory_iterator());
  };
  expect_same(read(), Dataset::from_csv(source));
  expect_same(read(), Dataset::from_csv(source));
  EXPECT_EQ(cached_files(), 1);
  read('\0');
  EXPECT_EQ(cached_files(), 2) << "other options";
  tiny::write_text(source, "a,b\n1,x\n2,y\n");
  EXPECT_EQ(read().size(), 2);
  EXPECT_EQ(cached_files(), 3);
}

TEST_F(DatasetDisk, ContentTellsFingerprints) {
  const Dataset a = of_all_types();
  EXPECT_EQ(a.fingerprint(), of_all_types().fingerprint());
  EXPECT_NE(a.fingerprint(), a.select({0, 1}).fingerprint());
  EXPECT_NE(a.fingerprint(), a.rename_column("int", "other").fingerprint());
  EXPECT_NE(Dataset::from_dict({{"a", {"x", ""}}}).fingerprint(), Dataset::from_dict({{"a", {"", "x"}}}).fingerprint());
}

}  // namespace
}  // namespace mica
